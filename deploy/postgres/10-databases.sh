#!/bin/sh
# Run once, by PostgreSQL's image, when its data folder is still empty: a database and a role for Dagster, and
# another pair for the tables. Neither role can see into the other's database.
set -eu
psql --set ON_ERROR_STOP=1 --quiet --username "$POSTGRES_USER" --dbname postgres <<'SQL'
-- From the environment: on the command line everybody on the machine could read them.
\getenv dagster_password DAGSTER_POSTGRES_PASSWORD
\getenv tutormax_password TUTORMAX_POSTGRES_PASSWORD
CREATE ROLE dagster LOGIN PASSWORD :'dagster_password';
CREATE ROLE tutormax LOGIN PASSWORD :'tutormax_password';
CREATE DATABASE dagster OWNER dagster;
CREATE DATABASE tutormax OWNER tutormax;
REVOKE CONNECT ON DATABASE dagster, tutormax, postgres, template1 FROM PUBLIC;
SQL
