"""The pages in the Airflow UI: who is in, what is used, what is paid for and idle.

    app         the FastAPI app: its headers, its errors, its static files
    security    who may look
    refusal     what people see who may not, and for what is not there
    reading     one read-only connection per request, and the queries under `include/sql/dashboard`
    lists       filters, sorting and paging of a list, as its address says
    rendering   templates, and how values are said
    pages_*     the pages by topic

Reads the published warehouse and nothing else; writes nothing, asks JumpCloud nothing.
"""
