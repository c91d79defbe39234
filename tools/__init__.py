"""Programs for people who change the code, and what the tests share with them."""
