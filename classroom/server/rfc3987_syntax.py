"""Stands before the package of this name on a student's path, and says that it is not there.

That package builds a grammar when it is imported, which takes two seconds of a processor: twice at each login, for the copy and
for the server. With it, jsonschema checks the formats iri and iri-reference, which no schema of Jupyter has; it does without.
"""

raise ImportError("not needed in a class, and slow to import")
