-- Profiles joined with settings: two tables, of which each is known by its changes. Of each user the
-- last row counts, and the result is updated with each change of either side.
--
--     thalweg run examples/profiles/query.sql

CREATE TABLE profiles (
  user_name STRING,
  nickname STRING,
  changed TIMESTAMP(3)
) WITH (
  'connector' = 'filesystem',
  'path' = 'examples/profiles/profiles.json',
  'format' = 'json'
);

CREATE TABLE settings (
  user_name STRING,
  language STRING,
  newsletter BOOLEAN,
  changed TIMESTAMP(3)
) WITH (
  'connector' = 'filesystem',
  'path' = 'examples/profiles/settings.json',
  'format' = 'json'
);

CREATE TABLE accounts (
  user_name STRING,
  nickname STRING,
  language STRING,
  newsletter BOOLEAN
) WITH (
  'connector' = 'filesystem',
  'path' = 'output/profiles',
  'format' = 'debezium-json'
);

CREATE TEMPORARY VIEW latest_profiles AS
SELECT * FROM (
  SELECT *, ROW_NUMBER() OVER (PARTITION BY user_name ORDER BY changed DESC) AS place FROM profiles
) WHERE place = 1;

CREATE TEMPORARY VIEW latest_settings AS
SELECT * FROM (
  SELECT *, ROW_NUMBER() OVER (PARTITION BY user_name ORDER BY changed DESC) AS place FROM settings
) WHERE place = 1;

INSERT INTO accounts
SELECT p.user_name, nickname, language, newsletter
FROM latest_profiles AS p LEFT JOIN latest_settings AS s ON p.user_name = s.user_name;
