import FileFormats

/// Reads one graph from comma-separated tables: an edge list and a table of node features.
///
/// The edge list has the columns source, target and optionally weight and explanation; the feature table one row
/// a node with the features and optionally a column `label`. Header lines name the columns and may be left out
/// (then: source, target[, weight]; all columns features).
public enum GraphTables {
  /// - Parameters:
  ///   - edges: path of the edge list.
  ///   - features: path of the feature table; its rows define the nodes.
  /// - Throws: `FileError` with file and line.
  public static func read(edges: String, features: String) throws -> GraphDataset {
    let nodes = try table(features)
    guard !nodes.rows.isEmpty else { throw FileError(file: features, reason: "the table has no rows") }
    let labelColumn = nodes.header.firstIndex(of: "label")
    let idColumn = nodes.header.firstIndex { $0 == "node" || $0 == "id" }
    var labels: [Int] = []
    var values: [Double] = []
    var width: Int?
    for (index, row) in nodes.rows.enumerated() {
      let place = "line \(row.line)"
      if let idColumn, row.cells.indices.contains(idColumn), Int(row.cells[idColumn]) != index {
        throw FileError(
          file: features, place: place, reason: "expected node \(index): rows are in node order")
      }
      var numbers: [Double] = []
      for (column, cell) in row.cells.enumerated() where column != labelColumn && column != idColumn {
        guard let number = Double(cell), number.isFinite else {
          throw FileError(file: features, place: place, reason: "\"\(cell)\" is not a finite number")
        }
        numbers.append(number)
      }
      if let labelColumn {
        guard row.cells.indices.contains(labelColumn), let label = Int(row.cells[labelColumn]), label >= 0,
          label < 1_000_000
        else { throw FileError(file: features, place: place, reason: "the label is not a class number") }
        labels.append(label)
      }
      if numbers.isEmpty || numbers.count != width ?? numbers.count {
        throw FileError(
          file: features, place: place, reason: "\(numbers.count) features, other rows have \(width ?? 1)")
      }
      width = numbers.count
      values += numbers
    }
    let count = nodes.rows.count
    let list = try readEdges(edges, nodes: count)
    let graph = AttributedGraph(
      id: .text(edges), nodeCount: count, edges: list.edges, edgeWeights: list.weights, features: values,
      featureCount: width ?? 0, nodeLabels: labelColumn == nil ? nil : labels, explanation: list.explanation,
      listedArcs: list.arcs)
    return GraphDataset(
      name: edges, task: .node, classCount: max(2, (labels.max() ?? 0) + 1), graphs: [graph])
  }

  private static func readEdges(_ path: String, nodes: Int) throws -> (
    edges: [GraphEdge], weights: [Double]?, explanation: [Bool]?, arcs: [Int]?
  ) {
    let list = try table(path)
    let header = list.header.isEmpty ? ["source", "target", "weight"] : list.header
    let sourceColumn = header.firstIndex(of: "source") ?? 0
    let targetColumn = header.firstIndex(of: "target") ?? 1
    let weightColumn = header.firstIndex(of: "weight")
    let flagColumn = header.firstIndex(of: "explanation")
    var edges: [GraphEdge] = []
    var weights: [Double] = []
    var flags: [Bool] = []
    for row in list.rows {
      func error(_ reason: String) -> FileError {
        FileError(file: path, place: "line \(row.line)", reason: reason)
      }
      guard row.cells.count > max(sourceColumn, targetColumn), let u = Int(row.cells[sourceColumn]),
        let v = Int(row.cells[targetColumn])
      else { throw error("expected two node numbers") }
      edges.append(GraphEdge(u, v))
      if let weightColumn, row.cells.indices.contains(weightColumn) {
        guard let weight = Double(row.cells[weightColumn]), weight.isFinite else {
          throw error("\"\(row.cells[weightColumn])\" is not a finite weight")
        }
        weights.append(weight)
      }
      if let flagColumn {
        guard row.cells.indices.contains(flagColumn), ["0", "1"].contains(row.cells[flagColumn]) else {
          throw error("the explanation column holds 0 or 1")
        }
        flags.append(row.cells[flagColumn] == "1")
      }
    }
    if !weights.isEmpty && weights.count != edges.count {
      throw FileError(file: path, reason: "\(weights.count) weights for \(edges.count) edges")
    }
    func error(_ edge: Int, _ reason: String) -> FileError {
      FileError(file: path, place: "line \(list.rows[edge].line)", reason: reason)
    }
    let merged = try EdgeList(edges, directed: false, nodes: nodes, error: error)
    return (
      merged.edges,
      weights.isEmpty
        ? nil : try merged.merged(weights) { error($0, "both directions need the same weight") },
      flagColumn == nil
        ? nil : try merged.merged(flags) { error($0, "both directions need the same explanation") },
      merged.arcs
    )
  }

  private static func trim(_ cell: Substring) -> String {
    var rest = cell
    while let first = rest.first, first == " " || first == "\t" { rest.removeFirst() }
    while let last = rest.last, last == " " || last == "\t" { rest.removeLast() }
    return String(rest)
  }

  private struct Row {
    var line: Int
    var cells: [String]
  }

  private static func table(_ path: String) throws -> (header: [String], rows: [Row]) {
    let bytes = try Gzip.contents(ofFile: path, limit: ReaderLimits.tableBytes)
    guard let text = String(validating: bytes, as: UTF8.self) else {
      throw FileError(file: path, reason: "the file is not UTF-8 text")
    }
    var header: [String] = []
    var rows: [Row] = []
    // By scalars: a line end of two characters, \r\n, is one Character. Old Macintosh files end lines with \r alone.
    let unix = String.UnicodeScalarView(
      text.replacing("\r\n", with: "\n").unicodeScalars.map { $0 == "\r" ? "\n" : $0 }
        .drop { $0 == "\u{FEFF}" })
    for (index, line) in String(unix).split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
      let trimmed = line
      if trimmed.allSatisfy({ $0 == " " || $0 == "\t" }) || trimmed.first == "#" { continue }
      let cells = trimmed.split(separator: ",", omittingEmptySubsequences: false).map(trim)
      if rows.isEmpty && header.isEmpty && cells.contains(where: { Double($0) == nil }) {
        header = cells.map { $0.lowercased() }
        continue
      }
      rows.append(Row(line: index + 1, cells: cells))
    }
    return (header, rows)
  }
}
