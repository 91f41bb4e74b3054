"""Examples to copy from; Airflow shows none of them by itself."""
