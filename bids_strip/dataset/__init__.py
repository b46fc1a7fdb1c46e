"""The raw dataset: BIDS root and filters -> runs.

`selection`
    The way from settings to runs.
`walk`, `names`
    The folders that are opened; what pybids reads from a file's name.
`filters`
    Labels and the filter file.
`description`, `content`
    ``dataset_description.json``; files whose content is elsewhere.
"""
