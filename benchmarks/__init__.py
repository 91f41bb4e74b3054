"""What landing events costs, beside other ways to do it. Run by hand (`make bench`), never by the tests."""
