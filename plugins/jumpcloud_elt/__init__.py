"""JumpCloud in your own Airflow: extract, land as Parquet, transform with DuckDB.

Public is what stands in this folder; what stands in a sub-package may move. Imports run down only:

    plugin                             what Airflow loads: dashboard and asset links
    dashboard, tasks, hook             pages; what the Dags' tasks do; JumpCloudHook for Dags of your own
    actions, export                    acting on users; files for other products
    privacy, alerts, reading           forgetting a person; notifications; the warehouse as DataFrames
    connections, extract, warehouse    what a key sees; JumpCloud -> landing; landing -> DuckDB
    api, landing                       JumpCloud over HTTP; the files that have landed
    core                               settings, accounts, streams, intervals, storage, redaction
    errors, provider_info              the error tree; connection form and options
"""

__version__ = "0.1.0"
