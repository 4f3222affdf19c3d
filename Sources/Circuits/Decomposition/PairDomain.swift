import CKernels
import IR
import Importers
import Operators
import Tensors

/// Contextual decomposition as a domain, in its explicit form: both parts of every value are carried.
///
/// Twice the work of ``DecompositionDomain``, but nothing is assumed: the sum of the parts can be compared with the
/// plain forward pass at every node, and the reference rule, whose parts do not add up, needs it.
///
/// A value of nil stands for (0, x) with x the plain value: the cached prefix.
struct PairDomain: Domain {
  typealias Value = Parts?

  struct Parts {
    /// `[prompts * sources] + shape`.
    var beta: Tensor<Double>
    var gamma: Tensor<Double>
  }

  let transformer: Transformer
  /// The true forward pass, against which conservation is measured.
  let plain: PlainRun
  /// What nil stands for, if it is not the plain run: sums of another decomposition, by node.
  let prefix: [Tensor<Double>?]?
  let settings: DecompositionSettings
  let baseline: Baseline
  let plan: SourcePlan
  let sources: Int
  let watched: Set<NodeID>
  /// Carry both parts from the very first node, so that nothing is taken from the plain run.
  let startsAtInput: Bool
  var seen: [NodeID: Parts] = [:]
  /// The largest |β + γ - x| so far: at any node under the exact rule, at the results under the reference rule.
  var conservationError = 0.0

  init(
    plain: PlainRun, settings: DecompositionSettings, baseline: Baseline, sources: [Source],
    watched: Set<NodeID> = [], startsAtInput: Bool = true, prefix: [Tensor<Double>?]? = nil
  ) {
    transformer = plain.transformer
    self.plain = plain
    self.prefix = prefix
    self.settings = settings
    self.baseline = baseline
    plan = SourcePlan(sources, transformer)
    self.sources = sources.count
    self.watched = watched
    self.startsAtInput = startsAtInput
  }

  private var examples: Int { plain.prompts * sources }

  private func cached(_ node: NodeID) -> Tensor<Double> { prefix?[node] ?? plain.value(node) }

  /// (0, x) written out for every source.
  private func whole(_ node: NodeID) -> Parts {
    let x = cached(node)
    let size = x.count / x.batch
    let gamma = Tensor<Double>(writing: [examples] + x.exampleShape) { out in
      x.withPointer { x in
        for r in 0..<examples { (out + r * size).update(from: x + r / sources * size, count: size) }
      }
    }
    return Parts(beta: .zeros(gamma.shape), gamma: gamma)
  }

  mutating func input() -> Parts? {
    let node = transformer.graph[transformer.graph.inputs[0]]
    return finish(startsAtInput ? whole(node.id) : nil, node)
  }

  // MARK: Sources

  private func withSources(_ value: Parts?, _ node: Node) -> Parts? {
    guard plan.heads[node.id] != nil || plan.tokens[node.id] != nil else { return value }
    var value = value ?? whole(node.id)
    let size = node.shape.count
    let width = node.shape[1]
    for edit in plan.heads[node.id] ?? [] {
      let d = transformer.headWidth
      for prompt in 0..<plain.prompts {
        let at = (prompt * sources + edit.source) * size + edit.node.position * width + edit.node.head * d
        let mean = baseline.offset(edit.node, prompt: prompt)
        for i in 0..<d {
          let m = baseline.layers[edit.node.layer].elements[mean + i]
          value.beta[flat: at + i] = value.beta[flat: at + i] + value.gamma[flat: at + i] - m
          value.gamma[flat: at + i] = m
        }
      }
    }
    for edit in plan.tokens[node.id] ?? [] {
      for prompt in 0..<plain.prompts {
        let example = (prompt * sources + edit.source) * size
        for position in 0..<node.shape[0] {
          let chosen = edit.positions.contains(position)
          for i in example + position * width..<example + (position + 1) * width {
            let total = value.beta[flat: i] + value.gamma[flat: i]
            value.beta[flat: i] = chosen ? total : 0
            value.gamma[flat: i] = chosen ? 0 : total
          }
        }
      }
    }
    return value
  }

  private mutating func finish(_ value: Parts?, _ node: Node) -> Parts? {
    var value = value
    let isZ = transformer.layer(ofZ: node.id) != nil
    if !isZ { clean(&value, node) }
    value = withSources(value, node)
    if watched.contains(node.id) { seen[node.id] = value ?? whole(node.id) }
    if isZ { clean(&value, node) }
    measure(value, node)
    return value
  }

  private func clean(_ value: inout Parts?, _ node: Node) {
    guard let cleaning = transformer.cleaning[node.id], var pair = value else { return }
    switch settings.signCleaning {
    case .none: return
    case .mlp where cleaning == .attentionBlock: return
    default: break
    }
    value = nil
    let n = Int64(pair.beta.count)
    pair.beta.withMutablePointer { y in pair.gamma.withMutablePointer { g in ck_cd_clean_pair(n, y, g) } }
    value = pair
  }

  private mutating func measure(_ value: Parts?, _ node: Node) {
    guard let value, plain.has(node.id) else { return }
    // The reference rule loses bias on the way, and a LayerNorm may lose or gain it again: its limit is for the results.
    if settings.biasRule == .reference, node.id != transformer.final, node.id != transformer.output { return }
    let x = plain.value(node.id)
    let size = x.count / x.batch
    var worst = conservationError
    x.withPointer { x in
      value.beta.withPointer { y in
        value.gamma.withPointer { g in
          for r in 0..<examples {
            let error = ck_cd_error(Int64(size), x + r / sources * size, y + r * size, g + r * size)
            if !(error <= worst) { worst = error }
          }
        }
      }
    }
    conservationError = worst
  }

  // MARK: Kinds

  mutating func constant(_ weight: Weight, at node: Node) -> Parts? { nil }

  mutating func affine(_ map: Affine, _ x: [Parts?], at node: Node) throws -> Parts? {
    guard x.contains(where: { $0 != nil }) else { return finish(nil, node) }
    var result: Parts?
    for (index, argument) in x.enumerated() {
      let value = argument ?? whole(node.inputs[index])
      let linear = map.maps[index]
      let image = Parts(beta: apply(linear, value.beta), gamma: apply(linear, value.gamma))
      if var sum = result {
        result = nil
        sum.beta += image.beta
        sum.gamma += image.gamma
        result = sum
      } else {
        result = image
      }
    }
    guard var pair = result else { return finish(nil, node) }
    if let bias = map.bias {
      let size = bias.values.count
      pair.beta.withMutablePointer { y in
        pair.gamma.withMutablePointer { g in
          bias.values.withPointer { b in
            for r in 0..<examples {
              ck_cd_bias_pair(
                Int64(size), b, settings.tolerance, settings.isExact, y + r * size, g + r * size)
            }
          }
        }
      }
    }
    return finish(pair, node)
  }

  private func apply(_ map: any LinearMap, _ x: Tensor<Double>) -> Tensor<Double> {
    guard let dense = map as? Dense, dense.inputShape.rank == 2 else { return map.apply(x) }
    let k = dense.inputShape[1]
    return Tensor(writing: [x.batch] + dense.outputShape) { y in
      x.withPointer { x0 in
        addProduct(
          rows: x.count / k, x0, dense.weight, transposed: dense.isTransposed, accumulate: false,
          precision: settings.precision, y)
      }
    }
  }

  mutating func elementwise(_ f: any ElementwiseFunction, _ x: Parts?, at node: Node) throws -> Parts? {
    guard let x else { return finish(nil, node) }
    let gamma = f.apply(x.gamma)
    let total = f.apply(x.beta + x.gamma)
    let n = Int64(gamma.count)
    let beta = Tensor<Double>(writing: gamma.shape) { out in
      total.withPointer { t in gamma.withPointer { g in ck_difference(n, t, g, out) } }
    }
    return finish(Parts(beta: beta, gamma: gamma), node)
  }

  mutating func composite(_ c: any Composite, _ x: [Parts?], at node: Node) throws -> Parts? {
    if let norm = c as? LayerNormalization {
      guard var pair = x[0] else { return finish(nil, node) }
      let rows = pair.beta.count / norm.width
      pair.beta.withMutablePointer { y in
        pair.gamma.withMutablePointer { g in
          norm.gain.values.withPointer { w in
            norm.shift.values.withPointer { b in
              ck_cd_norm_pair(
                Int64(rows), Int64(norm.width), norm.epsilon, w, b, settings.tolerance, settings.isExact, y, g
              )
            }
          }
        }
      }
      return finish(pair, node)
    }
    if let attention = c as? Attention {
      guard x.contains(where: { $0 != nil }) else { return finish(nil, node) }
      let q = x[0] ?? whole(node.inputs[0])
      let k = x[1] ?? whole(node.inputs[1])
      let v = x[2] ?? whole(node.inputs[2])
      return finish(attended(attention, q, k, v), node)
    }
    throw UnsupportedOperator(node, reason: "has no rule of contextual decomposition")
  }

  private func attended(_ attention: Attention, _ q: Parts, _ k: Parts, _ v: Parts) -> Parts {
    let total = [q.beta + q.gamma, k.beta + k.gamma, v.beta + v.gamma]
    switch settings.attention {
    case .split:
      let z = attention.values(total).z
      let beta = attention.values([q.beta, k.beta, v.beta]).z
      let n = Int64(z.count)
      let gamma = Tensor<Double>(writing: z.shape) { out in
        z.withPointer { t in beta.withPointer { b in ck_difference(n, t, b, out) } }
      }
      return Parts(beta: beta, gamma: gamma)
    case .frozen:
      guard let patterns = attention.values(total, patterns: true).patterns else { return v }
      return Parts(
        beta: attention.apply(patterns: patterns, to: v.beta),
        gamma: attention.apply(patterns: patterns, to: v.gamma))
    }
  }

  mutating func product(_ form: any BilinearForm, _ a: Parts?, _ b: Parts?, at node: Node) throws -> Parts? {
    throw UnsupportedOperator(node, reason: "has no rule of contextual decomposition")
  }
  mutating func selection(_ s: Selection, _ x: [Parts?], at node: Node) throws -> Parts? {
    throw UnsupportedOperator(node, reason: "has no rule of contextual decomposition")
  }
  mutating func discrete(_ f: any DiscreteFunction, _ x: [Parts?], at node: Node) throws -> Parts? {
    throw UnsupportedOperator(node, reason: "has no rule of contextual decomposition")
  }
}
