"""Where runs execute: in this process, in processes of this machine, on a Dask cluster.

`worker`
    What any process does with a run; the network it keeps open.
`turns`
    Which run is next: those that another call has come last.
`local`
    This process, or a pool of spawned ones.
`futures`
    Any engine behind the interface of ``concurrent.futures``; `attempts` is what its workers leave
    for one another to see.
`cluster`
    The workers of a Dask scheduler as such an engine.
"""
