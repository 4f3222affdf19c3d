// Importers: files to graphs.
