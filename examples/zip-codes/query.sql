-- Page views with the ZIP codes of those who viewed: a stream joined with a table. Both are only
-- added to, so the result is, too; views that come before their user wait.
--
--     thalweg run examples/zip-codes/query.sql

CREATE TABLE views (
  user_name STRING,
  page STRING,
  view_time TIMESTAMP(3)
) WITH (
  'connector' = 'filesystem',
  'path' = 'examples/page-views/views.json',
  'format' = 'json'
);

CREATE TABLE users (
  user_name STRING,
  zip_code STRING
) WITH (
  'connector' = 'filesystem',
  'path' = 'examples/zip-codes/users.json',
  'format' = 'json'
);

CREATE TABLE located (
  page STRING,
  zip_code STRING,
  view_time TIMESTAMP(3)
) WITH (
  'connector' = 'filesystem',
  'path' = 'output/zip-codes',
  'format' = 'json'
);

INSERT INTO located
SELECT page, zip_code, view_time
FROM views JOIN users ON views.user_name = users.user_name;
