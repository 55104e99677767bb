"""HQL, the query language of OMERO: text to syntax tree to loops over the records of a store."""
