"""JumpCloud in your own Airflow: extract, land as Parquet, transform with DuckDB.

Public is what stands in this folder; what stands in a sub-package may move. Imports run down only:

    example_dags                       Dags to copy from
    plugin, dag_factory                the dashboard in Airflow; several Dags of a kind
    operators                          sync and build as tasks of Dags of your own
    dashboard, tasks, hook             pages; what the Dags' tasks do; JumpCloudHook for Dags of your own
    actions, export                    acting on users; files for other products
    privacy, alerts, reading           forgetting a person; notifications; the warehouse as DataFrames
    connections, extract, warehouse    what a key sees; JumpCloud -> landing; landing -> DuckDB
    api, landing                       JumpCloud over HTTP; the files that have landed
    core                               settings, accounts, streams, intervals, storage, redaction
    errors, provider_info              the error tree; connection form and options
"""

from importlib.metadata import version

__version__ = version("jumpcloud-elt")
