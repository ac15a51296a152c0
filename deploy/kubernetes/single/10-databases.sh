#!/bin/sh
# Run once, by PostgreSQL's image, when its data folder is still empty: a database and a role for Dagster, and
# another pair for the tables. Neither role can see into the other's database.
set -eu
# Swarm and Kubernetes give passwords as files, Compose as variables.
if [ -r /run/secrets/dagster_postgres_password ]; then
    DAGSTER_POSTGRES_PASSWORD="$(cat /run/secrets/dagster_postgres_password)"
    TUTORMAX_POSTGRES_PASSWORD="$(cat /run/secrets/tutormax_postgres_password)"
    export DAGSTER_POSTGRES_PASSWORD TUTORMAX_POSTGRES_PASSWORD
fi
psql --set ON_ERROR_STOP=1 --quiet --username "$POSTGRES_USER" --dbname postgres <<'SQL'
-- From the environment: on the command line everybody on the machine could read them.
\getenv dagster_password DAGSTER_POSTGRES_PASSWORD
\getenv tutormax_password TUTORMAX_POSTGRES_PASSWORD
CREATE ROLE dagster LOGIN PASSWORD :'dagster_password';
CREATE ROLE tutormax LOGIN PASSWORD :'tutormax_password';
-- Bytes decide the order of text, so that no update of the system's collations can spoil an index.
CREATE DATABASE dagster OWNER dagster TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C';
CREATE DATABASE tutormax OWNER tutormax TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C';
REVOKE CONNECT ON DATABASE dagster, tutormax, postgres, template1 FROM PUBLIC;
SQL
