#!/bin/sh
# As the official images of PostgreSQL and Valkey do it, as far as compose.yaml relies on it.
set -eu
case "$1" in
  postgres)
    PATH=$(echo /usr/lib/postgresql/*/bin):$PATH
    data=/var/lib/postgresql/data
    chown postgres "$data"
    as="setpriv --reuid postgres --regid postgres --init-groups"
    if [ ! -s "$data/PG_VERSION" ]; then
      cp "$POSTGRES_PASSWORD_FILE" /tmp/password
      chown postgres /tmp/password
      $as initdb --pgdata "$data" --encoding UTF8 --locale C --username "$POSTGRES_USER" --pwfile /tmp/password \
        --auth-local trust --auth-host scram-sha-256
      echo "host all all all scram-sha-256" >> "$data/pg_hba.conf"
      $as pg_ctl --pgdata "$data" --options "-h '' -k /tmp" --wait start
      $as createdb --host /tmp --username "$POSTGRES_USER" "$POSTGRES_DB"
      $as pg_ctl --pgdata "$data" --wait stop
    fi
    exec $as postgres -D "$data" -h '*' -k /tmp ;;
  *) exec "$@" ;;
esac
