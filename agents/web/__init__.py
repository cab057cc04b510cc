"""The worker's HTTP interface, on Faust's web server."""
