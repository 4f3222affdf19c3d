import Bounds
import Domains
import IR
import Importers
import Tensors
import TestSupport
import Testing

/// Bounds of deployed networks on inputs from the field contain what onnxruntime and correctly rounded float32 compute.
@Suite(.enabled(if: SharedData.isPresent, Comment(rawValue: SharedData.comment)))
struct DeployedFieldTests {
  struct Case: Sendable, CustomTestStringConvertible {
    var file: String
    var input: Double
    /// The deployed value, from the README of the folder (onnxruntime 1.32).
    var value: Double
    /// The widest bounds that still say something of it.
    var width: Double
    var testDescription: String { file }
  }

  private static let tenth = Double(Float(0.1))

  static let cases = [
    Case(file: "a07-float32-attributes-read-as-decimals/clip", input: 0, value: tenth, width: 0),
    Case(file: "a07-float32-attributes-read-as-decimals/thresholded", input: tenth, value: 0, width: 0),
    Case(file: "a07-float32-attributes-read-as-decimals/shrink", input: -tenth, value: 0, width: 1e-15),
    Case(file: "a07-float32-attributes-read-as-decimals/gemm64", input: 1, value: tenth, width: 1e-14),
    Case(
      file: "a08-float32-error-relative-to-a-cancelled-result/hardswish", input: -2.999999761581421,
      value: -8.940696005765858e-08, width: 2e-6),
    Case(
      file: "a08-float32-error-relative-to-a-cancelled-result/hardsigmoid", input: -2.499999761581421,
      value: 2.9802322387695312e-08, width: 1e-6),
    Case(file: "a09-float32-fused-units/gelu", input: -5, value: -1.4901161193847656e-06, width: 1e-5),
    Case(file: "a09-float32-fused-units/softplus", input: -20, value: 0, width: 1e-6),
    Case(file: "a09-float32-fused-units/softplus", input: 100, value: .infinity, width: .infinity),
    Case(file: "a10-float32-overflow/exp", input: 100, value: .infinity, width: .infinity),
    Case(file: "a10-float32-overflow/mul", input: 1e20, value: .infinity, width: .infinity),
    Case(file: "a11-float32-folded-constants/fold", input: 1e8, value: 0, width: 1000),
    Case(file: "a11-float32-folded-constants/sum", input: tenth, value: 0, width: 1000),
    Case(
      file: "a12-float32-pow-and-integer-casts/pow", input: Double(Float(1.1)), value: 1.2690588235855103,
      width: 1e-5),
    Case(file: "a12-float32-pow-and-integer-casts/cast", input: 1, value: 16_777_216, width: 10),
    Case(
      file: "a13-float32-library-error/elu", input: -1e-6, value: -1.0132789611816406e-06, width: 2e-6),
    Case(
      file: "a13-float32-library-error/selu", input: -1e-6, value: -1.7814450075093191e-06, width: 4e-6),
    Case(
      file: "a13-float32-library-error/celu", input: -1e-6, value: -1.0132789611816406e-06, width: 2e-6),
    Case(file: "a13-float32-library-error/gelu", input: -5, value: -1.4901161193847656e-06, width: 1e-5),
    Case(file: "a13-float32-library-error/sigmoid", input: -20, value: 0, width: 1e-6),
  ]

  private func graph(_ file: String, _ arithmetic: Arithmetic) throws -> Graph {
    try Importer.load(
      SharedData.path("field/\(file).onnx"), ImportOptions(arithmetic: arithmetic)
    ).graph
  }

  @Test(arguments: cases, [BoundMethod.ibp, .crown, .best])
  func deployedValueLiesInside(_ example: Case, _ method: BoundMethod) throws {
    let graph = try graph(example.file, .float32)
    let node = graph.inputNodes[0]
    let number = node.elementType == .float64 ? example.input : Double(Float(example.input))
    let point = Tensor(repeating: number, [1] + node.shape)
    var options = BoundOptions(method: method)
    options.arithmetic = .float32
    // The exponent of the power is an input, too.
    let others = graph.inputNodes.dropFirst().map { InputSet.fixed(Tensor(repeating: 2.5, [1] + $0.shape)) }
    let bounds = try graph.bounds(over: Region([.fixed(point)] + others), options).outputs[0]
    let (lower, upper) = (bounds.lower[flat: 0], bounds.upper[flat: 0])
    #expect(lower <= example.value && example.value <= upper, "[\(lower), \(upper)]")
    #expect(!(upper - lower > example.width), "[\(lower), \(upper)]")
  }

  /// Results that are no numbers have no finite bound, and the node is named.
  @Test(
    arguments: ["n_log", "n_sqrt", "n_pow", "n_acos", "n_allinf", "n_where", "n_infsub", "n_div"],
    Arithmetic.allCases)
  func valuesThatAreNoNumbers(_ name: String, _ arithmetic: Arithmetic) throws {
    let graph = try graph("b20-attn-mask/\(name)", arithmetic)
    // The quotient of x by itself is no number at 0, the arc cosine outside [-1, 1], the others below 0.
    let point = Tensor([1] + graph.inputNodes[0].shape, name == "n_div" ? [-1, 0, 2] : [-1, -2, -3])
    for method in [BoundMethod.ibp, .forward, .crown, .best] {
      var options = BoundOptions(method: method)
      options.arithmetic = arithmetic
      let result = try graph.bounds(over: Region([Region.infinityBall(point, radius: 0.01)]), options)
      #expect(result.outputs[0].lower[flat: 1] == -.infinity, "\(method)")
      #expect(result.outputs[0].upper[flat: 1] == .infinity, "\(method)")
      #expect(result.unboundedNode(output: 0) != nil)
    }
  }

  /// The tap of a windowed sinc at 0 is chosen by a comparison of constants, 0 = 0, that holds.
  @Test(arguments: Arithmetic.allCases) func sincTapIsFinite(_ arithmetic: Arithmetic) throws {
    let graph = try graph("r07-sinc-tap-infinite/net", arithmetic)
    var options = BoundOptions(method: .ibp)
    options.arithmetic = arithmetic
    let point = Tensor(repeating: 1.0, [1] + graph.inputNodes[0].shape)
    let bounds = try graph.bounds(over: Region([Region.infinityBall(point, radius: 0.01)]), options).outputs[
      0]
    let reference = try #require(SharedData.json("field/r07-sinc-tap-infinite/ort.json")[0]?.doubles)
    for (i, value) in reference.enumerated() {
      #expect(bounds.lower[flat: i] <= value && value <= bounds.upper[flat: i])
      #expect(bounds.upper[flat: i] - bounds.lower[flat: i] < 0.021)
    }
  }

  /// Half precision is bounded with its own roundoff.
  @Test(arguments: ["keep", "full", "torch_half", "torch_bf16"]) func halfPrecision(_ name: String) throws {
    let graph = try graph("b19-fp16/\(name)", .float32)
    let document = try SharedData.json("field/b19-fp16/in.json")
    let values = try #require(document["inputs"]?["X"]?["values"] ?? document["values"]).flattened
    let point = Tensor([1] + graph.inputNodes[0].shape, values)
    var options = BoundOptions(method: .crown)
    options.arithmetic = .float32
    let bounds = try graph.bounds(over: Region([Region.infinityBall(point, radius: 0)]), options).outputs[0]
    var domain = ConcreteDomain(.deployed)
    let run = try graph.interpret([.double(point)], in: &domain).outputs[0].float64
    for i in 0..<run.count {
      #expect(bounds.lower[flat: i] <= run[flat: i] && run[flat: i] <= bounds.upper[flat: i])
      #expect(bounds.upper[flat: i] - bounds.lower[flat: i] < 0.5)
    }
  }
}
