import Circuits
import Reports

extension CircuitDocument {
  /// The document as a picture.
  var picture: CircuitPicture {
    let place = Dictionary(
      nodes.enumerated().map { ($0.element.unit, $0.offset) }, uniquingKeysWith: { a, _ in a })
    var names: [Int: String] = [:]
    for (name, position) in positionNames.sorted(by: { $0.key < $1.key }) {
      names[position] = names[position].map { $0 + "/" + name } ?? name
    }
    var notes: [String] = []
    if metricFull.isFinite {
      notes.append(
        "metric: model \(Output.score(metricFull)), all heads replaced \(Output.score(metricEmpty))")
    }
    if let truth {
      notes.append(
        "truth: recall \(Output.score(truth.recall)), precision \(Output.score(truth.precision)), "
          + "AUC \(Output.score(truth.auc))")
    }
    if !pruned.isEmpty { notes.append("\(pruned.count) nodes pruned") }
    notes.append("conservation error \(Output.scientific(conservationError))")
    let title = model.isEmpty ? "Circuit" : "Circuit of \(model)"
    var parts: [String] = []
    if !method.isEmpty { parts.append("method \(method)") }
    if !metric.isEmpty { parts.append("metric \(metric)") }
    if !prompts.isEmpty { parts.append(prompts.split(separator: "/").last.map(String.init) ?? prompts) }
    return CircuitPicture(
      title: title, subtitle: parts.joined(separator: ", "), layers: layers, tokens: tokens,
      positionNames: names,
      nodes: nodes.map {
        .init(layer: $0.unit.layer, position: $0.unit.position, head: $0.unit.head, score: $0.score)
      },
      edges: edges.compactMap { edge in
        guard let from = place[edge.from] else { return nil }
        if let to = edge.to {
          guard let target = place[to] else { return nil }
          return .init(from: from, to: target, score: edge.score)
        }
        return .init(from: from, to: nil, score: edge.score)
      }, curve: curve, randomCurve: random, faithfulness: faithfulness, notes: notes)
  }
}
