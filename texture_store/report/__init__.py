"""Pictures, facts and scores as figures and HTML: values in, bytes out. Nothing here reads or writes storage."""
