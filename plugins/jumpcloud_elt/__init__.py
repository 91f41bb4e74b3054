"""JumpCloud in your own Airflow: extract, land as Parquet, transform with DuckDB."""

__version__ = "0.1.0"
