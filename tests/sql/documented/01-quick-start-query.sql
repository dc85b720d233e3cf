-- Quick start: a source table and a first query.
CREATE TABLE employee_information (
    emp_id INT,
    dept_id INT
) WITH (
    'connector' = 'filesystem',
    'path' = 'data/employees.csv',
    'format' = 'csv'
);

SELECT * FROM employee_information WHERE dept_id = 11;
-- 1 | 11
-- 2 | 11
