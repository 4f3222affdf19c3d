import CKernels
import IR
import Importers
import Operators
import Tensors

/// The forward pass with some heads changed, as a domain.
///
/// Only rows that can differ from the plain run are computed: a value is nil where nothing changed, else a window of
/// positions. The batch is prompt-major: example r belongs to prompt r / (number of patches).
struct PatchedDomain: Domain {
  /// Rows of a node that may differ from the plain run.
  struct Rows {
    var rows: Range<Int>
    /// `[prompts * patches, rows.count, features]`.
    var values: Tensor<Double>
  }
  typealias Value = Rows?

  let transformer: Transformer
  let plain: PlainRun
  let baseline: Baseline
  let patches: [Patch]
  let propagation: Propagation
  private var edits: [NodeID: [(patch: Int, node: HeadNode, values: [Double]?)]] = [:]
  /// z nodes whose propagated value is recorded before it is frozen.
  let recorded: Set<NodeID>
  private(set) var record: [NodeID: Rows] = [:]
  /// q, k or v nodes that keep their plain value.
  let held: Set<NodeID>

  init(
    plain: PlainRun, baseline: Baseline, patches: [Patch], propagation: Propagation,
    recorded: Set<NodeID> = [], held: Set<NodeID> = []
  ) {
    transformer = plain.transformer
    self.plain = plain
    self.baseline = baseline
    self.patches = patches
    self.propagation = propagation
    self.recorded = recorded
    self.held = held
    for (index, patch) in patches.enumerated() {
      for node in patch.ablated {
        edits[transformer.layers[node.layer].z, default: []].append((index, node, nil))
      }
      for replaced in patch.replaced {
        edits[transformer.layers[replaced.node.layer].z, default: []].append(
          (index, replaced.node, replaced.values))
      }
    }
  }

  private var examples: Int { plain.prompts * patches.count }

  private func extent(_ shape: Shape) -> (rows: Int, features: Int) {
    shape.rank == 2 ? (shape[0], shape[1]) : (1, shape.count)
  }

  /// The rows `wanted` of a node: from `value` where it has them, from the plain run elsewhere.
  private func rows(_ value: Rows?, _ node: NodeID, _ wanted: Range<Int>) -> Tensor<Double> {
    if let value, value.rows == wanted { return value.values }
    let (all, features) = extent(transformer.graph[node].shape)
    let x = plain.value(node)
    let count = wanted.count * features
    let shared = value.map { $0.rows.clamped(to: wanted) } ?? wanted.lowerBound..<wanted.lowerBound
    return Tensor(writing: [examples, wanted.count, features]) { out in
      x.withPointer { x in
        for r in 0..<examples {
          let from = (r / patches.count * all + wanted.lowerBound) * features
          (out + r * count).update(from: x + from, count: count)
        }
      }
      if let value, !shared.isEmpty {
        value.values.withPointer { v in
          for r in 0..<examples {
            let to = r * count + (shared.lowerBound - wanted.lowerBound) * features
            let from = (r * value.rows.count + shared.lowerBound - value.rows.lowerBound) * features
            (out + to).update(from: v + from, count: shared.count * features)
          }
        }
      }
    }
  }

  private func union(_ x: [Rows?]) -> Range<Int>? {
    let ranges = x.compactMap { $0?.rows }
    guard let low = ranges.map(\.lowerBound).min(), let high = ranges.map(\.upperBound).max() else {
      return nil
    }
    return low..<high
  }

  /// The value of a readout node for every example, all rows.
  func whole(_ value: Rows?, _ node: NodeID) -> Tensor<Double> {
    let shape = transformer.graph[node].shape
    return rows(value, node, 0..<extent(shape).rows).reshaped([examples] + shape)
  }

  private mutating func finish(_ value: Rows?, _ node: Node) -> Rows? {
    guard transformer.layer(ofZ: node.id) != nil else { return held.contains(node.id) ? nil : value }
    var value = value
    if recorded.contains(node.id) {
      record[node.id] = value ?? Rows(rows: 0..<0, values: .zeros([examples, 0, 0]))
    }
    if propagation == .frozenHeads { value = nil }
    guard let edits = edits[node.id] else { return value }
    let positions = edits.map(\.node.position)
    var window = positions.min().map { $0..<((positions.max() ?? $0) + 1) } ?? 0..<1
    if let own = value?.rows {
      window = min(own.lowerBound, window.lowerBound)..<max(own.upperBound, window.upperBound)
    }
    var z = rows(value, node.id, window)
    value = nil
    let width = transformer.width
    let d = transformer.headWidth
    z.withMutablePointer { z in
      for edit in edits {
        let layer = baseline.layers[edit.node.layer]
        for prompt in 0..<plain.prompts {
          let example = prompt * patches.count + edit.patch
          let at =
            (example * window.count + edit.node.position - window.lowerBound) * width + edit.node.head * d
          if let values = edit.values {
            for i in 0..<d { z[at + i] = values[prompt * d + i] }
          } else {
            let from = baseline.offset(edit.node, prompt: prompt)
            layer.withPointer { mean in for i in 0..<d { z[at + i] = mean[from + i] } }
          }
        }
      }
    }
    return Rows(rows: window, values: z)
  }

  // MARK: Kinds

  mutating func constant(_ weight: Weight, at node: Node) -> Rows? { nil }

  mutating func affine(_ map: Affine, _ x: [Rows?], at node: Node) throws -> Rows? {
    guard let window = union(x) else { return finish(nil, node) }
    let (all, features) = extent(node.shape)
    let rowwise = map.maps.allSatisfy {
      ($0 as? Dense)?.inputShape.rank == 2
        || ($0 as? Reshape).map { $0.inputShape == $0.outputShape } ?? false
    }
    if !rowwise { return finish(general(map, x, node), node) }
    // The first map fills the result, the others add to it.
    var y = Tensor<Double>([0], [])
    for (index, linear) in map.maps.enumerated() {
      let input = rows(x[index], node.inputs[index], window)
      guard let dense = linear as? Dense else {
        if index == 0 { y = input } else { y += input }
        continue
      }
      let k = dense.inputShape[1]
      let multiply = { (y: UnsafeMutablePointer<Double>) in
        input.withPointer { x0 in
          dense.weight.values.withPointer { w in
            addProduct(
              rows: input.count / k, k: k, n: features, x0, w, transposed: dense.isTransposed,
              accumulate: index > 0, y)
          }
        }
      }
      if index == 0 {
        y = Tensor(writing: [examples, window.count, features]) { multiply($0) }
      } else {
        y.withMutablePointer { multiply($0) }
      }
    }
    if let bias = map.bias {
      let count = window.count * features
      y.withMutablePointer { y in
        bias.values.withPointer { b in
          for r in 0..<examples { Double.add(count, b + window.lowerBound * features, into: y + r * count) }
        }
      }
    }
    precondition(window.upperBound <= all)
    return finish(Rows(rows: window, values: y), node)
  }

  /// Maps that move rows (a slice of one position): on all rows, unless they read none that changed.
  private func general(_ map: Affine, _ x: [Rows?], _ node: Node) -> Rows? {
    let touched = zip(map.maps, zip(x, node.inputs)).contains { linear, argument in
      guard let value = argument.0 else { return false }
      guard let moves = linear as? IndexMap else { return true }
      let features = extent(transformer.graph[argument.1].shape).features
      return moves.table.index.contains { $0 >= 0 && value.rows.contains(Int($0) / features) }
    }
    guard touched else { return nil }
    let (all, features) = extent(node.shape)
    var y = Tensor<Double>.zeros([examples, all, features])
    for (index, linear) in map.maps.enumerated() {
      y += linear.apply(whole(x[index], node.inputs[index])).reshaped(y.shape)
    }
    if let bias = map.bias { y.addToEveryExample(bias.values.reshaped([all, features])) }
    return Rows(rows: 0..<all, values: y)
  }

  mutating func elementwise(_ f: any ElementwiseFunction, _ x: Rows?, at node: Node) throws -> Rows? {
    guard let x else { return finish(nil, node) }
    return finish(Rows(rows: x.rows, values: f.apply(x.values)), node)
  }

  mutating func composite(_ c: any Composite, _ x: [Rows?], at node: Node) throws -> Rows? {
    if let norm = c as? LayerNormalization {
      guard var value = x[0] else { return finish(nil, node) }
      let rows = value.values.count / norm.width
      value.values.withMutablePointer { y in
        norm.gain.values.withPointer { w in
          norm.shift.values.withPointer { b in
            ck_norm(Int64(rows), Int64(norm.width), y, norm.epsilon, w, b, y)
          }
        }
      }
      return finish(value, node)
    }
    if let attention = c as? Attention {
      // Frozen heads need no attention unless someone asks what it would have been.
      if propagation == .frozenHeads, !recorded.contains(node.id) { return finish(nil, node) }
      return finish(attended(attention, x, node), node)
    }
    throw UnsupportedOperator(node, reason: "cannot be run with patches")
  }

  private func attended(_ attention: Attention, _ x: [Rows?], _ node: Node) -> Rows? {
    guard var window = union(x) else { return nil }
    let n = attention.positions
    // Changed keys and values reach all later positions, or all positions.
    if x[1] != nil || x[2] != nil { window = attention.isCausal ? window.lowerBound..<n : 0..<n }
    let q = rows(x[0], node.inputs[0], window)
    let seen = attention.isCausal ? 0..<window.upperBound : 0..<n
    let k = rows(x[1], node.inputs[1], seen)
    let v = rows(x[2], node.inputs[2], seen)
    let width = attention.width
    let d = attention.headWidth
    let reach = attention.isCausal ? window.lowerBound : n
    let mask = attention.hidden.map { UInt8($0 ? 1 : 0) }
    let z = Tensor<Double>(writing: [examples, window.count, width]) { z in
      q.withPointer { q in
        k.withPointer { k in
          v.withPointer { v in
            withUnsafeTemporaryAllocation(of: Double.self, capacity: (d + 2) * n) { scratch in
              mask.withUnsafeBufferPointer { mask in
                // The capacity is positive, so there is an address.
                guard let scratch = scratch.baseAddress else { return }
                for r in 0..<examples {
                  for h in 0..<attention.heads {
                    let query = r * window.count * width + h * d
                    let key = r * seen.count * width + h * d
                    ck_attention(
                      Int64(window.count), Int64(seen.count), Int64(d), q + query, Int64(width), k + key,
                      Int64(width), v + key, Int64(width), attention.scale, Int64(reach), 0,
                      mask.isEmpty ? nil : mask.baseAddress,
                      scratch, z + query, Int64(width), nil)
                  }
                }
              }
            }
          }
        }
      }
    }
    return Rows(rows: window, values: z)
  }

  mutating func product(_ form: any BilinearForm, _ a: Rows?, _ b: Rows?, at node: Node) throws -> Rows? {
    throw UnsupportedOperator(node, reason: "cannot be run with patches")
  }
  mutating func selection(_ s: Selection, _ x: [Rows?], at node: Node) throws -> Rows? {
    throw UnsupportedOperator(node, reason: "cannot be run with patches")
  }
  mutating func discrete(_ f: any DiscreteFunction, _ x: [Rows?], at node: Node) throws -> Rows? {
    throw UnsupportedOperator(node, reason: "cannot be run with patches")
  }
}
