// sweep, test
