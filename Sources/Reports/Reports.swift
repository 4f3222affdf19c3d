// Reports: tables, progress, SVG and HTML.
