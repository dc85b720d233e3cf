-- Quick start: a continuous query.
SET 'sql-client.execution.result-mode' = 'changelog';
SET 'execution.runtime-mode' = 'streaming';

CREATE TABLE employee_information (
    emp_id INT,
    dept_id INT
) WITH (
    'connector' = 'filesystem',
    'path' = 'data/employees.csv',
    'format' = 'csv'
);

SELECT
   dept_id,
   COUNT(*) as emp_count
FROM employee_information
GROUP BY dept_id;
-- 11 | 2
-- 22 | 3
-- 33 | 1
