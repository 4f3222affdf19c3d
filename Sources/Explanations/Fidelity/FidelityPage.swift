import FileFormats
import Importers

/// A self-contained page: what was measured, means, every instance, pictures of the first ones.
public struct FidelityPage: Sendable {
  let report: FidelityReport
  let model: String
  let data: GraphDataset
  let instances: [ExplanationInstance]
  /// Pictures drawn at most.
  public var pictures = 12

  public init(report: FidelityReport, model: String, data: GraphDataset, instances: [ExplanationInstance]) {
    self.report = report
    self.model = model
    self.data = data
    self.instances = instances
  }

  /// The document.
  public var html: String {
    var out = """
      <!DOCTYPE html>
      <html lang="en"><head><meta charset="utf-8"><title>Fidelity: \(MarkupText.xml(model))</title>
      <style>
      body { font-family: sans-serif; margin: 2em; color: #222; max-width: 75em }
      table { border-collapse: collapse; margin: 1em 0 } td, th { padding: .2em .7em; text-align: right; border-bottom: 1px solid #ddd }
      td:first-child, th:first-child { text-align: left } .pictures { display: flex; flex-wrap: wrap; gap: 1em }
      .pictures svg { width: 24em; height: auto; border: 1px solid #eee }
      </style></head><body>
      <h1>Fidelity of \(MarkupText.xml(report.explanation)) for \(MarkupText.xml(model))</h1>
      <p>Mask semantics <b>\(report.options.semantics.rawValue)</b>, target <b>\(report.options.target.rawValue)</b>,
      method <b>\(report.methodName)</b>, \(report.evaluations) evaluations, seed \(report.options.seed),
      \(report.instances.count) instances.</p>

      """
    out += "<h2>Means</h2>\n" + means
    out += "<h2>Instances</h2>\n" + rows
    out += "<h2>Pictures</h2>\n<div class=\"pictures\">\n"
    let byID = Dictionary(instances.map { ($0.id, $0) }, uniquingKeysWith: { a, _ in a })
    for result in report.instances.prefix(pictures) {
      guard let instance = byID[result.id] else { continue }
      let view = instance.neighbourhood(depth: 3)
      var scores: [Double]?
      if let edges = instance.item?.edges {
        let per = edges.count / max(1, instance.graph.edges.count)
        let joined = per == 2 && !instance.graph.isDirected ? report.options.pairing.join(edges) : edges
        scores = view.edges.map { joined[$0] }
      }
      let picture = GraphPicture(
        title: "\(result.id), class \(result.target)",
        subtitle:
          "Fid+ \(Self.short(result.original.plus.probability)), Fid- \(Self.short(result.original.minus.probability))",
        scores: scores, center: view.center)
      out += picture.svg(view.graph, names: view.nodes)
    }
    return out + "</div>\n</body></html>\n"
  }

  private var means: String {
    var out =
      "<table><tr><th></th><th>&alpha;1</th><th>&alpha;2</th><th>Fid+</th><th>Fid-</th><th>&Delta;</th>"
    out += "<th>s.e. (instances)</th><th>s.e. (sampling)</th></tr>\n"
    func line(_ name: String, _ index: Int?, _ items: [InstanceFidelity]) {
      guard let first = items.first else { return }
      let pair = index.map { first.robust[$0] } ?? first.original
      let plus = report.mean(.plus, robust: index, of: items)
      let minus = report.mean(.minus, robust: index, of: items)
      let delta = report.mean(.delta, robust: index, of: items)
      let cells = [
        plus.probability, minus.probability, delta.probability, delta.instanceError, delta.samplingError,
      ]
      out +=
        "<tr><td>\(MarkupText.xml(name))</td><td>\(Self.short(pair.alpha1))</td><td>\(Self.short(pair.alpha2))</td>"
      out += cells.map { "<td>\(Self.short($0))</td>" }.joined() + "</tr>\n"
    }
    let groups =
      [("all", report.instances)] + report.byClass.map { ("class \(className($0.target))", $0.instances) }
    for (name, items) in groups {
      line("\(name), original", nil, items)
      for index in items.first?.robust.indices ?? 0..<0 { line("\(name), robust", index, items) }
    }
    return out + "</table>\n"
  }

  private func className(_ index: Int) -> String {
    guard let names = data.classNames, names.indices.contains(index) else { return "\(index)" }
    return "\(index) (\(names[index]))"
  }

  private var rows: String {
    var out =
      "<table><tr><th>id</th><th>class</th><th>p</th><th>|S|</th><th>|N|</th><th>Fid+</th><th>Fid-</th>"
    out += "<th>robust Fid+</th><th>robust Fid-</th><th>s.e.</th><th>method</th><th>evaluations</th></tr>\n"
    for item in report.instances {
      guard let robust = item.robust.first else { continue }
      let cells = [
        "\(item.target)", Self.short(item.fullProbability), "\(item.selectedCount)", "\(item.otherCount)",
        Self.short(item.original.plus.probability), Self.short(item.original.minus.probability),
        Self.short(robust.plus.probability), Self.short(robust.minus.probability),
        Self.short(robust.delta.standardError), robust.minus.method.rawValue,
        "\(robust.plus.evaluations + robust.minus.evaluations)",
      ]
      out +=
        "<tr><td>\(MarkupText.xml("\(item.id)"))</td>" + cells.map { "<td>\($0)</td>" }.joined()
        + "</tr>\n"
    }
    return out + "</table>\n"
  }

  static func short(_ x: Double) -> String { "\((x * 10_000).rounded() / 10_000)" }
}
