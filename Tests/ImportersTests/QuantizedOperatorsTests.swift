import Bounds
import Domains
import FileFormats
import IR
import Importers
import OnnxFormat
import Tensors
import Testing

/// Integer and quantised operators; expected values are onnxruntime's unless the comment says how they follow.
@Suite struct QuantizedOperatorsTests {
  private func bytes(_ name: String, _ dims: [Int], _ values: [Int], _ type: OnnxElementType)
    -> Onnx_TensorProto
  {
    var tensor = Onnx_TensorProto()
    tensor.name = name
    tensor.dims = dims.map { Int64($0) }
    tensor.dataType = Int32(type.rawValue)
    tensor.int32Data = values.map { Int32($0) }
    return tensor
  }

  /// The definition by hand: values -1 ... 2 and 0 give the scale 3/255; the zero point is 85, bytes 0, 43, 85, 255
  /// (0.5 * 85 rounds to even: 42.5 + 85 is not reached, -0.5 / (3/255) = -42.5 rounds to -42).
  @Test func dynamicQuantizeLinear() throws {
    var model = ModelBuilder()
    model.input("x", [4])
    model.add("DynamicQuantizeLinear", ["x"], ["q", "s", "z"])
    for name in ["q", "s", "z"] { model.output(name) }
    let values = try model.load().run([[-1, -0.5, 0, 2]])
    #expect(values[0] == [0, 43, 85, 255])
    #expect(abs(values[1][0] - 3.0 / 255) < 1e-15)
    #expect(values[2] == [85])
    // Deployed runtimes take the scale 1 where all values are 0.
    #expect(try model.load().run([[0, 0, 0, 0]]) == [[0, 0, 0, 0], [1], [0]])
  }

  /// Padding stands for the zero point: the corner of a convolution of ones sees four of the nine taps.
  @Test func convInteger() throws {
    var model = ModelBuilder()
    model.input("x", [1, 1, 3, 3], .uint8)
    model.model.graph.initializer += [
      bytes("w", [1, 1, 3, 3], [Int](repeating: 3, count: 9), .uint8), bytes("zx", [], [10], .uint8),
      bytes("zw", [], [1], .uint8),
    ]
    model.add("ConvInteger", ["x", "w", "zx", "zw"], ["y"], [ModelBuilder.ints("pads", [1, 1, 1, 1])])
    model.output("y")
    let y = try model.load().run([[Double](repeating: 12, count: 9)])[0]
    #expect(y == [16, 24, 16, 24, 36, 24, 16, 24, 16])
  }

  /// The matrix product (a - 1) (b - 2) is [[-3, 6], [-1, 8]]; times 0.5 * 0.25 / 0.25 and rounded to even, plus 3.
  @Test func qLinearMatMul() throws {
    var model = ModelBuilder()
    model.input("a", [2, 2], .uint8)
    model.constant("s", [], floats: [0.5])
    model.constant("t", [], floats: [0.25])
    model.model.graph.initializer += [
      bytes("za", [], [1], .uint8), bytes("b", [2, 2], [1, 4, 0, 4], .uint8), bytes("zb", [], [2], .uint8),
      bytes("zy", [], [3], .uint8),
    ]
    model.add("QLinearMatMul", ["a", "s", "za", "b", "t", "zb", "t", "zy"], ["y"])
    model.output("y")
    // [[1, 1], [-1, 2]] times [[-1, 2], [-2, 2]]: [-3, 4], [-3, 2].
    #expect(try model.load().run([[2, 2, 0, 3]])[0] == [1, 5, 1, 4])
  }

  /// Bounds hold for every value of the box, and a quantised product stays within one step of the plain one.
  @Test(arguments: [BoundMethod.ibp, .crown, .best]) func boundsOfADynamicallyQuantisedLayer(
    _ method: BoundMethod
  ) throws {
    var model = ModelBuilder()
    model.input("x", [1, 3])
    model.model.graph.initializer += [
      bytes("w", [3, 2], [-100, 84, -4, 22, 127, -99], .int8), bytes("zw", [], [0], .int8),
    ]
    model.constant("sw", [], floats: [0.0129])
    model.add("DynamicQuantizeLinear", ["x"], ["q", "s", "z"])
    model.add("MatMulInteger", ["q", "w", "z", "zw"], ["p"])
    model.add("Cast", ["p"], ["f"], [ModelBuilder.int("to", 1)])
    model.add("Mul", ["s", "sw"], ["t"])
    model.add("Mul", ["f", "t"], ["y"])
    model.output("y")
    let network = try model.load()
    let box = InputSet.box(
      lower: Tensor([1, 1, 3], [-0.5, 0.2, 0.9]), upper: Tensor([1, 1, 3], [-0.4, 0.3, 1]))
    let bounds = try network.graph.bounds(over: Region([box]), BoundOptions(method: method)).outputs[0]
    for i in 0..<27 {
      let x = [-0.5 + 0.05 * Double(i % 3), 0.2 + 0.05 * Double(i / 3 % 3), 0.9 + 0.05 * Double(i / 9)]
      let y = try network.run([x])[0]
      for k in 0..<2 { #expect(bounds.lower[flat: k] <= y[k] && y[k] <= bounds.upper[flat: k]) }
    }
    #expect((0..<2).allSatisfy { bounds.upper[flat: $0] - bounds.lower[flat: $0] < 2 })
  }

  /// Windows that reach over more than the padded input: onnxruntime refuses them all.
  @Test(arguments: [
    ("MaxPool", 3, [0, 0]), ("MaxPool", 5, [1, 1]), ("AveragePool", 3, [0, 0]), ("LpPool", 3, [0, 0]),
    ("Conv", 3, [0, 0]), ("Conv", 4, [1, 0]),
  ])
  func windowsWiderThanTheInput(_ op: String, _ kernel: Int, _ pads: [Int]) throws {
    for stride in [1, 2, 4] {
      var model = ModelBuilder()
      model.input("x", [1, 1, 2])
      var attributes = [ModelBuilder.ints("strides", [stride]), ModelBuilder.ints("pads", pads)]
      if op == "Conv" {
        model.constant("w", [1, 1, kernel], floats: [Float](repeating: 1, count: kernel))
      } else {
        attributes.append(ModelBuilder.ints("kernel_shape", [kernel]))
      }
      model.add(op, op == "Conv" ? ["x", "w"] : ["x"], ["y"], attributes)
      model.output("y")
      #expect(throws: FileError.self) { try model.load() }
    }
  }

  @Test func reflectionsLongerThanTheInput() throws {
    for (pads, isFine) in [
      ([0, 1], true), ([2, 1], true), ([3, 0], false), ([0, 5], false), ([4, -2], false),
    ] {
      var model = ModelBuilder()
      model.input("x", [3])
      model.constant("p", ints: pads)
      model.add(
        "Pad", ["x", "p"], ["y"],
        [
          ModelBuilder.attribute("mode") {
            $0.type = .string
            $0.s = Array("reflect".utf8).withUnsafeBytes { .init($0) }
          }
        ])
      model.output("y")
      if isFine {
        #expect(throws: Never.self) { try model.load() }
      } else {
        #expect(throws: FileError.self) { try model.load() }
      }
    }
  }

  /// Weights count wherever the file keeps them.
  @Test func parametersInConstants() throws {
    var model = ModelBuilder(opset: 12)
    model.input("x", [1, 4])
    model.add(
      "Constant", [], ["w"],
      [
        ModelBuilder.attribute("value") {
          $0.type = .tensor
          $0.t = ModelBuilder.tensor("w", [4, 3], floats: (0..<12).map { Float($0) })
        }
      ])
    model.constant("b", [3], floats: [1, 2, 3])
    model.add("MatMul", ["x", "w"], ["m"])
    model.add("Add", ["m", "b"], ["y"])
    model.output("y")
    #expect(try model.load().parameterCount == 15)
  }
}
