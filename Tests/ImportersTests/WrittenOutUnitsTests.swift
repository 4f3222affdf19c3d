import Bounds
import Domains
import IR
import Importers
import OnnxFormat
import Operators
import Tensors
import Testing

/// Softmax and normalisation that a file holds in parts are bounded as the operators are; what only looks like them is
/// left alone.
@Suite struct WrittenOutUnitsTests {
  private static let weights: [Float] = [5, -5, 25, 4, -21, 14, 3, 7, -2, 1, 0.5, -8, 2, 2, -3, 9, 6, -1]

  private func bounds(_ model: ModelBuilder, radius: Double) throws -> Interval {
    let graph = try model.load().graph
    let n = graph[graph.inputs[0]].shape.count
    let center = Tensor([1] + graph[graph.inputs[0]].shape, (0..<n).map { 0.3 * Double($0) - 0.4 })
    let box = InputSet.box(lower: center.map { $0 - radius }, upper: center.map { $0 + radius })
    return try graph.bounds(over: Region([box]), BoundOptions(method: .ibp)).outputs[0]
  }

  private func softmax(_ parts: (inout ModelBuilder) -> Void) -> ModelBuilder {
    var model = ModelBuilder(opset: 15)
    model.input("x", [1, 3])
    model.constant("W", [3, 6], floats: Self.weights)
    model.constant("axis", ints: [1])
    model.constant("one", ints: [1, 1])
    model.constant("full", ints: [1, 6])
    model.add("MatMul", ["x", "W"], ["z"])
    parts(&model)
    model.output("y")
    return model
  }

  private func sum(_ model: inout ModelBuilder, keeps: Int = 1) {
    model.add("Exp", ["d"], ["e"])
    model.add("ReduceSum", ["e", "axis"], ["s"], [ModelBuilder.int("keepdims", keeps)])
  }

  private func maximum(_ model: inout ModelBuilder, keeps: Int = 1) {
    model.add(
      "ReduceMax", ["z"], ["m"], [ModelBuilder.ints("axes", [1]), ModelBuilder.int("keepdims", keeps)])
  }

  @Test func softmaxInPartsIsTheOperator() throws {
    let whole = try bounds(
      softmax { $0.add("Softmax", ["z"], ["y"], [ModelBuilder.int("axis", 1)]) }, radius: 3)
    #expect(whole.lower.elements.allSatisfy { $0 >= 0 } && whole.upper.elements.allSatisfy { $0 <= 1 })
    let forms: [(inout ModelBuilder) -> Void] = [
      {
        maximum(&$0)
        $0.add("Sub", ["z", "m"], ["d"])
        sum(&$0)
        $0.add("Div", ["e", "s"], ["y"])
      },
      {
        // Without the maximum the function is the same.
        $0.add("Identity", ["z"], ["d"])
        sum(&$0)
        $0.add("Div", ["e", "s"], ["y"])
      },
      {
        maximum(&$0, keeps: 0)
        $0.add("Reshape", ["m", "one"], ["m2"])
        $0.add("Expand", ["m2", "full"], ["m3"])
        $0.add("Sub", ["z", "m3"], ["d"])
        sum(&$0, keeps: 0)
        $0.add("Reshape", ["s", "one"], ["s2"])
        $0.add("Expand", ["s2", "full"], ["s3"])
        $0.add("Div", ["e", "s3"], ["y"])
      },
      {
        maximum(&$0)
        $0.constant("low", [1], floats: [-.infinity])
        $0.add("Max", ["m", "low"], ["m2"])
        $0.add("Sub", ["z", "m2"], ["d"])
        sum(&$0)
        $0.add("Reciprocal", ["s"], ["r"])
        $0.add("Mul", ["r", "e"], ["y"])
      },
    ]
    for (index, form) in forms.enumerated() {
      let parts = try bounds(softmax(form), radius: 3)
      for k in 0..<6 {
        #expect(abs(parts.lower[flat: k] - whole.lower[flat: k]) <= 1e-12, "form \(index)")
        #expect(abs(parts.upper[flat: k] - whole.upper[flat: k]) <= 1e-12, "form \(index)")
      }
    }
  }

  /// A sum of other elements, or one that is shifted, makes no softmax.
  @Test func whatIsNoSoftmaxStays() throws {
    let others: [(inout ModelBuilder) -> Void] = [
      {
        $0.add("Identity", ["z"], ["d"])
        sum(&$0)
        $0.constant("c", [1], floats: [1])
        $0.add("Add", ["s", "c"], ["t"])
        $0.add("Div", ["e", "t"], ["y"])
      },
      {
        // The sum of the exponentials of something else.
        $0.add("Exp", ["z"], ["a"])
        $0.constant("c", [1], floats: [0.5])
        $0.add("Mul", ["z", "c"], ["d"])
        sum(&$0)
        $0.add("Div", ["a", "s"], ["y"])
      },
      {
        // What is subtracted differs between elements.
        $0.constant("c", [1, 6], floats: [0, 0, 0, 0, 0, 1])
        maximum(&$0)
        $0.add("Mul", ["m", "c"], ["m2"])
        $0.add("Sub", ["z", "m2"], ["d"])
        sum(&$0)
        $0.add("Div", ["e", "s"], ["y"])
      },
    ]
    let x = [0.1, -0.2, 0.05]
    for (index, form) in others.enumerated() {
      let model = softmax(form)
      let network = try model.load()
      // The last form is the softmax of d, whatever d is.
      if index < 2 {
        #expect(
          !network.graph.nodes.contains {
            if case .composite(let c) = $0.operation { c is Softmax } else { false }
          })
      }
      let z = (0..<6).map { k in (0..<3).reduce(0.0) { $0 + x[$1] * Double(Self.weights[$1 * 6 + k]) } }
      let top = z.max() ?? 0
      let expected: [Double]
      switch index {
      case 0: expected = z.map { e($0) / (z.map(e).reduce(0, +) + 1) }
      case 1: expected = z.map { e($0) / z.map { e($0 / 2) }.reduce(0, +) }
      default:
        let d = z.enumerated().map { $0 == 5 ? $1 - top : $1 }
        expected = d.map { e($0) / d.map(e).reduce(0, +) }
      }
      for (a, b) in zip(try network.run([x])[0], expected) { #expect(abs(a - b) <= 1e-12 * max(1, abs(b))) }
    }
  }

  private func e(_ x: Double) -> Double { Exp().value(x) }

  /// Flax subtracts the squared mean, multiplies the scale to the inverse root, and writes means as products; TensorFlow
  /// folds the mean into the bias.
  private func layerNorm(_ inverse: Float, folded: Bool) -> ModelBuilder {
    var model = ModelBuilder(opset: 15)
    model.input("x", [1, 6])
    model.constant("axis", ints: [1])
    model.constant("r", [], floats: [inverse])
    model.constant("zero", [], floats: [0])
    model.constant("eps", [], floats: [0.0009765625])
    model.constant("g", [6], floats: [1, 2, -1, 0.5, 1, 3])
    model.constant("b", [6], floats: [0, 1, 2, 3, -4, 5])
    model.add("ReduceSum", ["x", "axis"], ["s"], [ModelBuilder.int("keepdims", 1)])
    model.add("Mul", ["s", "r"], ["mean"])
    model.add("Sub", ["x", "mean"], ["d"])
    if folded {
      model.add("Mul", ["d", "d"], ["sq"])
      model.add("ReduceMean", ["sq"], ["v"], [ModelBuilder.ints("axes", [1])])
    } else {
      model.add("Mul", ["x", "x"], ["sq"])
      model.add("ReduceSum", ["sq", "axis"], ["s2"], [ModelBuilder.int("keepdims", 1)])
      model.add("Mul", ["s2", "r"], ["m2"])
      model.add("Mul", ["mean", "mean"], ["mm"])
      model.add("Sub", ["m2", "mm"], ["v0"])
      model.add("Max", ["v0", "zero"], ["v"])
    }
    model.add("Add", ["v", "eps"], ["ve"])
    model.add("Sqrt", ["ve"], ["sd"])
    model.add("Reciprocal", ["sd"], ["inv"])
    model.add("Mul", ["inv", "g"], ["ig"])
    if folded {
      model.add("Mul", ["x", "ig"], ["p"])
      model.add("Mul", ["mean", "ig"], ["q"])
      model.add("Sub", ["b", "q"], ["t"])
      model.add("Add", ["p", "t"], ["y"])
    } else {
      model.add("Mul", ["d", "ig"], ["p"])
      model.add("Add", ["p", "b"], ["y"])
    }
    model.output("y")
    return model
  }

  @Test(arguments: [false, true]) func layerNormInPartsIsTheOperator(_ folded: Bool) throws {
    var whole = ModelBuilder(opset: 17)
    whole.input("x", [1, 6])
    whole.constant("g", [6], floats: [1, 2, -1, 0.5, 1, 3])
    whole.constant("b", [6], floats: [0, 1, 2, 3, -4, 5])
    whole.add("LayerNormalization", ["x", "g", "b"], ["y"], [ModelBuilder.float("epsilon", 0.0009765625)])
    whole.output("y")
    let expected = try bounds(whole, radius: 3)
    let parts = try bounds(layerNorm(1 / 6, folded: folded), radius: 3)
    for k in 0..<6 {
      #expect(abs(parts.lower[flat: k] - expected.lower[flat: k]) <= 1e-9)
      #expect(abs(parts.upper[flat: k] - expected.upper[flat: k]) <= 1e-9)
    }
    let x = [0.4, -1, 2, 0.1, 0.3, -0.7]
    for (a, b) in zip(try layerNorm(1 / 6, folded: folded).load().run([x])[0], try whole.load().run([x])[0]) {
      #expect(abs(a - b) <= 1e-12)
    }
  }

  /// A factor that is not the inverse of the number of elements is no mean: nothing is replaced, the value is that of
  /// the parts.
  @Test(arguments: [false, true]) func otherFactorsAreNoMeans(_ folded: Bool) throws {
    let factor = (Float(1) / 6).nextUp
    let network = try layerNorm(factor, folded: folded).load()
    #expect(
      !network.graph.nodes.contains {
        if case .composite(let c) = $0.operation { c is Normalization } else { false }
      })
  }

  /// Deviations from means along one axis over roots of mean squares along another: not what is normalised, and the
  /// value is that of the formula.
  @Test func meansAlongAnotherAxis() throws {
    var model = ModelBuilder(opset: 15)
    model.input("x", [2, 3])
    model.constant("eps", [], floats: [0.5])
    model.add("ReduceMean", ["x"], ["mean"], [ModelBuilder.ints("axes", [0])])
    model.add("Sub", ["x", "mean"], ["d"])
    model.add("Mul", ["d", "d"], ["sq"])
    model.add("ReduceMean", ["sq"], ["v"], [ModelBuilder.ints("axes", [1])])
    model.add("Add", ["v", "eps"], ["ve"])
    model.add("Sqrt", ["ve"], ["sd"])
    model.add("Div", ["d", "sd"], ["y"])
    model.output("y")
    let x = [1.0, -2, 4, 3, 0.5, -1]
    let means: [Double] = (0..<3).map { (column: Int) -> Double in (x[column] + x[column + 3]) / 2 }
    let d: [Double] = (0..<6).map { (i: Int) -> Double in x[i] - means[i % 3] }
    let y = try model.load().run([x])[0]
    for i in 0..<6 {
      let row = Array(d[(i / 3 * 3)..<(i / 3 * 3 + 3)])
      let squares: Double = row.reduce(0) { $0 + $1 * $1 }
      let root: Double = (squares / 3 + 0.5).squareRoot()
      let expected: Double = d[i] / root
      #expect(abs(y[i] - expected) <= 1e-12)
    }
  }
}
