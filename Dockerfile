# The image of every Airflow service in docker-compose.yaml: Apache's own, with this package added.
FROM apache/airflow:3.3.2-python3.12

# Laid out as in the repository. docker-compose.yaml mounts the checkout over these same paths, so that there is one
# copy of the package whether or not anything is mounted.
COPY --chown=airflow:0 pyproject.toml README.md LICENSE NOTICE constraints.txt /opt/airflow/
COPY --chown=airflow:0 dags /opt/airflow/dags
COPY --chown=airflow:0 include/sql /opt/airflow/include/sql
COPY --chown=airflow:0 plugins /opt/airflow/plugins

# Editable: a copy in site-packages would silently win over the plugins folder, which Airflow puts last on sys.path.
# It is installed at all because Airflow finds the connection type only through the provider's entry point.
#
# Only what this package itself depends on is pinned. The rest is what Apache built and tested the image with: the
# whole of constraints.txt was resolved without the FAB and Celery providers, and cannot be installed beside FAB.
#
# [s3] for a data root in an object store. Apache's image brings the Amazon provider, this adds s3fs to it.
ARG JUMPCLOUD_ELT_EXTRAS=""
RUN grep -E '^(apache-airflow|apache-airflow-providers-(http|standard)|duckdb|msgspec|pandas|pyarrow|pyyaml)==' \
        /opt/airflow/constraints.txt > /tmp/pins.txt \
    && pip install --no-cache-dir --constraint /tmp/pins.txt --editable "/opt/airflow${JUMPCLOUD_ELT_EXTRAS}" \
    && rm /tmp/pins.txt

# A build without one of the parts must not get as far as `docker compose up`. AIRFLOW_HOME is another one here:
# importing Airflow writes an airflow.cfg with keys of its own, which do not belong into an image.
RUN AIRFLOW_HOME=/tmp/airflow python -c "import asyncpg, celery, duckdb, psycopg2, pyarrow, redis; \
        import airflow.providers.celery.executors.celery_executor, jumpcloud_elt.hook, jumpcloud_elt.warehouse; \
        import airflow.providers.fab.auth_manager.fab_auth_manager" \
    && rm -rf /tmp/airflow

# A new named volume takes over the owner and the mode of the folder that it is mounted on.
RUN mkdir -p /opt/airflow/data && chmod g=u /opt/airflow/data
