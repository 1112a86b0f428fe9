"""The stages of an evaluation, a module for each name in `options.STAGES`.

A stage has two functions. `measure(context)` returns numbers and arrays, and nothing is drawn for
them. `present(context, measured)` returns the `Section` of the report: tables, figures, captions.
"""
