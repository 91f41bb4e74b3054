"""What Airflow's tasks do, one module per Dag, in Airflow's states. The work is done in the floors below."""
