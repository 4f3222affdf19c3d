import CKernels
import IR
import Importers
import Operators
import Tensors

/// Contextual decomposition as a domain, in its cheap form: one stream.
///
/// A value is the relevant part β of a node; the total x is the plain run's, so the irrelevant part is γ = x - β and
/// need not be carried. A value of nil is β = 0 everywhere: nothing is computed before the first source. In causal
/// models nothing is computed for positions before the first source either.
///
/// The batch is prompt-major: example r belongs to prompt r / (number of sources).
struct DecompositionDomain: Domain {
  struct Value {
    /// `[prompts * sources, window rows, features]`; nil is zero.
    var beta: Tensor<Double>?
    /// Rows whose γ is exactly 0, one flag per example and window row; nil is none. In one stream γ = x - β would be
    /// rounding noise there, and the exact bias rule tells 0 from noise.
    var relevant: [Bool]?
  }

  let transformer: Transformer
  let plain: PlainRun
  let settings: DecompositionSettings
  let baseline: Baseline
  let plan: SourcePlan
  let sources: Int
  /// The first position at which β can differ from 0.
  let start: Int
  /// Nodes whose β is kept as it was after the sources were set.
  let watched: Set<NodeID>
  var seen: [NodeID: Value] = [:]

  init(
    plain: PlainRun, settings: DecompositionSettings, baseline: Baseline, sources: [Source],
    watched: Set<NodeID> = []
  ) {
    transformer = plain.transformer
    self.plain = plain
    self.settings = settings
    self.baseline = baseline
    plan = SourcePlan(sources, transformer)
    self.sources = sources.count
    let causal = transformer.skipsEarlierPositions
    start = causal ? sources.map(\.firstPosition).min() ?? 0 : 0
    self.watched = watched
  }

  private var examples: Int { plain.prompts * sources }

  /// Rows of a node's value, and those among them that β is stored for.
  private func rows(_ shape: Shape) -> (all: Int, window: Range<Int>, features: Int) {
    guard shape.rank == 2 else { return (1, 0..<1, shape.count) }
    let rows = shape[0]
    return (rows, (rows == transformer.positions ? start : 0)..<rows, shape[1])
  }

  /// Calls `body` with every example: the places of its window in β and in the plain value.
  private func eachExample(_ shape: Shape, _ body: (_ beta: Int, _ plain: Int, _ count: Int) -> Void) {
    let (all, window, features) = rows(shape)
    let count = window.count * features
    for prompt in 0..<plain.prompts {
      let x = (prompt * all + window.lowerBound) * features
      for s in 0..<sources { body((prompt * sources + s) * count, x, count) }
    }
  }

  /// The value for the graph's input: nothing is relevant but what sources claim there.
  mutating func input() -> Value { finish(Value(), transformer.graph[transformer.graph.inputs[0]]) }

  private func zeros(_ shape: Shape) -> Tensor<Double> {
    let (_, window, features) = rows(shape)
    return .zeros([examples, window.count, features])
  }

  // MARK: Sources

  /// Sets the sources that act at a node.
  private func withSources(_ value: Value, _ node: Node) -> Value {
    var value = value
    let (all, window, features) = rows(node.shape)
    if let edits = plan.heads[node.id] {
      var beta = value.beta ?? zeros(node.shape)
      let d = transformer.headWidth
      let x = plain.value(node.id)
      for edit in edits {
        let column = edit.node.head * d
        for prompt in 0..<plain.prompts {
          let row = (prompt * sources + edit.source) * window.count + edit.node.position - window.lowerBound
          let from = (prompt * all + edit.node.position) * features + column
          let mean = baseline.offset(edit.node, prompt: prompt)
          for i in 0..<d {
            beta[flat: row * features + column + i] =
              x.elements[from + i] - baseline.layers[edit.node.layer].elements[mean + i]
          }
        }
      }
      if baseline.kind == .zero { value.relevant = flags(value.relevant, edits, beta, x, node) }
      value.beta = beta
    }
    if let edits = plan.tokens[node.id] {
      var beta = value.beta ?? zeros(node.shape)
      var flags = value.relevant ?? [Bool](repeating: false, count: examples * window.count)
      let x = plain.value(node.id)
      for edit in edits {
        for prompt in 0..<plain.prompts {
          let example = prompt * sources + edit.source
          for position in window {
            let row = example * window.count + position - window.lowerBound
            let chosen = edit.positions.contains(position)
            flags[row] = chosen
            let from = (prompt * all + position) * features
            for i in 0..<features { beta[flat: row * features + i] = chosen ? x.elements[from + i] : 0 }
          }
        }
      }
      value.beta = beta
      value.relevant = flags
    }
    return value
  }

  /// Flags of rows that a zero baseline made wholly relevant.
  private func flags(
    _ known: [Bool]?, _ edits: [(source: Int, node: HeadNode)], _ beta: Tensor<Double>, _ x: Tensor<Double>,
    _ node: Node
  ) -> [Bool]? {
    let (all, window, features) = rows(node.shape)
    var flags = known
    for edit in edits {
      for prompt in 0..<plain.prompts {
        let row = (prompt * sources + edit.source) * window.count + edit.node.position - window.lowerBound
        let from = (prompt * all + edit.node.position) * features
        var equal = true
        for i in 0..<features where beta.elements[row * features + i] != x.elements[from + i] {
          equal = false
          break
        }
        if equal {
          if flags == nil { flags = [Bool](repeating: false, count: examples * window.count) }
          flags?[row] = true
        } else {
          flags?[row] = false
        }
      }
    }
    return flags
  }

  /// Sources, observation and cleaning, in the order the method asks for.
  private mutating func finish(_ value: Value, _ node: Node) -> Value {
    var value = value
    let isZ = plan.heads[node.id] != nil || transformer.layer(ofZ: node.id) != nil
    if !isZ { clean(&value, node) }
    value = withSources(value, node)
    if watched.contains(node.id) { seen[node.id] = value }
    if isZ { clean(&value, node) }
    return value
  }

  private func clean(_ value: inout Value, _ node: Node) {
    guard let cleaning = transformer.cleaning[node.id], value.beta != nil else { return }
    switch settings.signCleaning {
    case .none: return
    case .mlp where cleaning == .attentionBlock: return
    default: break
    }
    let x = plain.value(node.id)
    value.beta?.withMutablePointer { y in
      x.withPointer { x in
        eachExample(node.shape) { beta, from, count in ck_cd_clean(Int64(count), x + from, y + beta) }
      }
    }
  }

  /// Rows without any irrelevant part are the plain ones, exactly.
  private func restore(_ beta: inout Tensor<Double>, _ flags: [Bool]?, _ node: Node) {
    guard let flags, flags.contains(true) else { return }
    let x = plain.value(node.id)
    let (all, window, features) = rows(node.shape)
    for (row, flag) in flags.enumerated() where flag {
      let (example, local) = row.quotientAndRemainder(dividingBy: window.count)
      let from = (example / sources * all + window.lowerBound + local) * features
      for i in 0..<features { beta[flat: row * features + i] = x.elements[from + i] }
    }
  }

  // MARK: Kinds

  mutating func constant(_ weight: Weight, at node: Node) -> Value { Value(beta: nil, relevant: nil) }

  mutating func affine(_ map: Affine, _ x: [Value], at node: Node) throws -> Value {
    guard x.contains(where: { $0.beta != nil }) else { return finish(Value(), node) }
    // The first map fills the result, the others add to it.
    let (_, own, features) = rows(node.shape)
    let outputShape: Shape = [examples, own.count, features]
    var y = Tensor<Double>([0], [])
    var first = true
    for (index, value) in x.enumerated() {
      guard let beta = value.beta else { continue }
      let inputShape = transformer.graph[node.inputs[index]].shape
      if let dense = map.maps[index] as? Dense, inputShape.rank == 2 {
        let k = inputShape[1]
        let accumulate = !first
        let precision = settings.precision
        let multiply = { (y: UnsafeMutablePointer<Double>) in
          beta.withPointer { b in
            addProduct(
              rows: beta.count / k, b, dense.weight, transposed: dense.isTransposed, accumulate: accumulate,
              precision: precision, y)
          }
        }
        if first {
          y = Tensor(writing: outputShape) { multiply($0) }
        } else {
          y.withMutablePointer { multiply($0) }
        }
      } else if let same = map.maps[index] as? Reshape, same.inputShape == same.outputShape {
        if first { y = beta } else { y += beta }
      } else {
        let image = map.maps[index].apply(expanded(beta, inputShape)).reshaped(outputShape)
        if first { y = image } else { y += image }
      }
      first = false
    }
    let relevant = mergedFlags(x, node)
    if let bias = map.bias {
      let total = plain.value(node.id)
      let offset = rows(node.shape).window.lowerBound * rows(node.shape).features
      y.withMutablePointer { y in
        total.withPointer { total in
          bias.values.withPointer { b in
            eachExample(node.shape) { beta, from, count in
              ck_cd_bias(
                Int64(count), total + from, b + offset, settings.tolerance, settings.isExact, y + beta)
            }
          }
        }
      }
    }
    restore(&y, relevant, node)
    return finish(Value(beta: y, relevant: relevant), node)
  }

  /// β on all rows, zero where none is stored.
  private func expanded(_ beta: Tensor<Double>, _ shape: Shape) -> Tensor<Double> {
    let (all, window, features) = rows(shape)
    if window.count == all { return beta.reshaped([examples] + shape) }
    var full = Tensor<Double>.zeros([examples] + shape)
    let count = window.count * features
    full.withMutablePointer { out in
      beta.withPointer { b in
        for r in 0..<examples {
          (out + r * all * features + window.lowerBound * features).update(from: b + r * count, count: count)
        }
      }
    }
    return full
  }

  /// A row of a sum is wholly relevant if it is in every term; maps that move rows keep a flag only if a whole example
  /// has it.
  private func mergedFlags(_ x: [Value], _ node: Node) -> [Bool]? {
    guard x.allSatisfy({ $0.beta != nil && $0.relevant?.contains(true) == true }) else { return nil }
    let count = examples * rows(node.shape).window.count
    var result = [Bool](repeating: true, count: count)
    for value in x {
      guard let flags = value.relevant else { return nil }
      if flags.count == count {
        for i in 0..<count where !flags[i] { result[i] = false }
      } else {
        let own = flags.count / examples
        let target = count / examples
        for r in 0..<examples where start > 0 || flags[r * own..<(r + 1) * own].contains(false) {
          for i in r * target..<(r + 1) * target { result[i] = false }
        }
      }
    }
    return result.contains(true) ? result : nil
  }

  mutating func elementwise(_ f: any ElementwiseFunction, _ x: Value, at node: Node) throws -> Value {
    guard let beta = x.beta else { return finish(Value(), node) }
    let before = plain.value(node.inputs[0])
    let after = plain.value(node.id)
    let gamma = Tensor<Double>(writing: beta.shape) { out in
      before.withPointer { t in
        beta.withPointer { b in
          eachExample(node.shape) { at, from, count in ck_difference(Int64(count), t + from, b + at, out + at)
          }
        }
      }
    }
    let image = f.apply(gamma)
    var y = Tensor<Double>(writing: beta.shape) { out in
      after.withPointer { t in
        image.withPointer { g in
          eachExample(node.shape) { at, from, count in ck_difference(Int64(count), t + from, g + at, out + at)
          }
        }
      }
    }
    let relevant = f.value(0.0 as Double) == 0 ? x.relevant : nil
    restore(&y, relevant, node)
    return finish(Value(beta: y, relevant: relevant), node)
  }

  mutating func composite(_ c: any Composite, _ x: [Value], at node: Node) throws -> Value {
    if let norm = c as? LayerNormalization { return finish(normalized(norm, x[0], node), node) }
    if let attention = c as? Attention { return finish(attended(attention, x, node), node) }
    throw UnsupportedOperator(node, reason: "has no rule of contextual decomposition")
  }

  private func normalized(_ norm: LayerNormalization, _ x: Value, _ node: Node) -> Value {
    guard var y = x.beta, let scale = plain.scale(node.id) else { return Value() }
    let total = plain.value(node.inputs[0])
    let (all, window, features) = rows(node.shape)
    y.withMutablePointer { y in
      total.withPointer { t in
        scale.withUnsafeBufferPointer { scale in
          norm.gain.values.withPointer { w in
            norm.shift.values.withPointer { b in
              // A run has at least one prompt with at least one row.
              guard let scale = scale.baseAddress else { return }
              for prompt in 0..<plain.prompts {
                let row = prompt * all + window.lowerBound
                for s in 0..<sources {
                  let at = (prompt * sources + s) * window.count * features
                  ck_cd_norm(
                    Int64(window.count), Int64(features), t + row * features, scale + row, w, b,
                    settings.tolerance, settings.isExact, y + at)
                }
              }
            }
          }
        }
      }
    }
    restore(&y, x.relevant, node)
    return Value(beta: y, relevant: x.relevant)
  }

  private func attended(_ attention: Attention, _ x: [Value], _ node: Node) -> Value {
    guard let v = x[2].beta else { return Value() }
    let q = x[0].beta ?? zeros(node.shape)
    let k = x[1].beta ?? zeros(node.shape)
    let (all, window, features) = rows(node.shape)
    let d = attention.headWidth
    let n = window.count
    let reach = attention.isCausal ? 0 : n
    let size = n * features
    let pattern = settings.attention == .frozen ? plain.pattern(node.id) : nil
    let mask = attention.hidden.map { UInt8($0 ? 1 : 0) }
    var z = Tensor<Double>(writing: v.shape) { z in
      q.withPointer { q in
        k.withPointer { k in
          v.withPointer { v in
            withUnsafeTemporaryAllocation(of: Double.self, capacity: (d + 2) * n) { scratch in
              mask.withUnsafeBufferPointer { mask in
                for r in 0..<examples {
                  for h in 0..<attention.heads {
                    let at = r * size + h * d
                    if let pattern {
                      pattern.withPointer { a in
                        let base = (r / sources * attention.heads + h) * all * all
                        let first = a + base + window.lowerBound * all + window.lowerBound
                        ck_attend(
                          Int64(n), Int64(n), Int64(d), first, Int64(all), v + at, Int64(features),
                          Int64(reach),
                          z + at, Int64(features))
                      }
                    } else if let scratch = scratch.baseAddress {
                      ck_attention(
                        Int64(n), Int64(n), Int64(d), q + at, Int64(features), k + at, Int64(features),
                        v + at,
                        Int64(features), attention.scale, Int64(reach), Int64(window.lowerBound),
                        mask.isEmpty ? nil : mask.baseAddress, scratch, z + at, Int64(features), nil)
                    }
                  }
                }
              }
            }
          }
        }
      }
    }
    // Mixed rows are wholly relevant only if every row of the example is.
    var relevant: [Bool]?
    if window.count == all, let flags = x[0].relevant, x[1].relevant != nil, x[2].relevant != nil {
      var whole = [Bool](repeating: false, count: flags.count)
      for r in 0..<examples {
        let range = r * n..<(r + 1) * n
        let all = x.allSatisfy { !($0.relevant?[range].contains(false) ?? true) }
        if all { for i in range { whole[i] = true } }
      }
      relevant = whole.contains(true) ? whole : nil
    }
    restore(&z, relevant, node)
    return Value(beta: z, relevant: relevant)
  }

  mutating func product(_ form: any BilinearForm, _ a: Value, _ b: Value, at node: Node) throws -> Value {
    throw UnsupportedOperator(node, reason: "has no rule of contextual decomposition")
  }
  mutating func selection(_ s: Selection, _ x: [Value], at node: Node) throws -> Value {
    throw UnsupportedOperator(node, reason: "has no rule of contextual decomposition")
  }
  mutating func discrete(_ f: any DiscreteFunction, _ x: [Value], at node: Node) throws -> Value {
    throw UnsupportedOperator(node, reason: "has no rule of contextual decomposition")
  }
}
