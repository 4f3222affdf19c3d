import Domains
import FileFormats
import IR
import Importers
import OnnxFormat
import Tensors
import Testing

@Suite("What the ONNX importer makes of a model")
struct SemanticsTests {
  typealias M = ModelBuilder

  @Test("dynamic dimensions: 1, the batch, named, or as the values say")
  func dynamicDimensions() throws {
    var builder = ModelBuilder()
    builder.input("x", [-1, 3])
    builder.input("y", [-1, -2])
    builder.add("Relu", ["x"], ["a"])
    builder.add("Relu", ["y"], ["b"])
    builder.output("a")
    builder.output("b")
    func shapes(_ options: ImportOptions) throws -> [Shape] {
      try builder.load(options).graph.inputNodes.map(\.shape)
    }
    #expect(try shapes(ImportOptions()) == [[1, 3], [1, 1]])
    #expect(try shapes(ImportOptions(batch: 4)) == [[4, 3], [4, 1]])
    #expect(try shapes(ImportOptions(dimensions: ["N2": 5])) == [[1, 3], [1, 5]])
    #expect(try shapes(ImportOptions(shapes: ["x": [7, 3]])) == [[7, 3], [7, 1]])
    #expect(try shapes(ImportOptions(values: ["y": .zeros([2, 6])])) == [[2, 3], [2, 6]])
    #expect(throws: FileError.self) { try shapes(ImportOptions(shapes: ["x": [7, 4]])) }
    #expect(throws: FileError.self) { try shapes(ImportOptions(shapes: ["x": [7]])) }
  }

  @Test("initialisers that are listed as inputs are no inputs")
  func initializersAsInputs() throws {
    var builder = ModelBuilder(irVersion: 3)
    builder.input("w", [2])
    builder.input("x", [2])
    builder.constant("w", [2], floats: [3, 4])
    builder.add("Mul", ["x", "w"], ["y"])
    builder.output("y")
    let network = try builder.load()
    #expect(network.graph.inputNodes.map(\.name) == ["x"])
    #expect(try network.run([[1, 2]]) == [[3, 8]])
  }

  @Test("shape arithmetic leaves no node behind")
  func shapeArithmetic() throws {
    var builder = ModelBuilder()
    builder.input("x", [2, 3, 4])
    builder.constant("zero", ints: [0])
    builder.constant("minus", ints: [-1])
    builder.add("Shape", ["x"], ["s"])
    builder.add("Gather", ["s", "zero"], ["first"])
    builder.add("Cast", ["first"], ["real"], [M.int("to", 1)])
    builder.add("Cast", ["real"], ["again"], [M.int("to", 7)])
    builder.add("Concat", ["again", "minus"], ["target"], [M.int("axis", 0)])
    builder.add("Reshape", ["x", "target"], ["y"])
    builder.output("y")
    let network = try builder.load()
    #expect(network.graph.nodes.count == 2)
    #expect(network.graph[network.graph.outputs[0].node].shape == [2, 12])
  }

  @Test("a shape that depends on an input needs its value")
  func staticValues() throws {
    var builder = ModelBuilder()
    builder.input("x", [6])
    builder.input("s", [2], .int64)
    builder.add("Reshape", ["x", "s"], ["y"])
    builder.output("y")
    do {
      _ = try builder.load()
      Issue.record("imported without an error")
    } catch let error as UnsupportedOperator {
      #expect(error.reason.contains("'s'"))
    }
    let network = try builder.load(ImportOptions(values: ["s": Tensor([2], [2, 3])]))
    #expect(network.boundInputs == ["s"])
    #expect(network.graph.inputNodes.map(\.name) == ["x", "s"])
    #expect(network.graph[network.graph.outputs[0].node].shape == [2, 3])
  }

  @Test("If, Loop and Scan with constant conditions unroll; subgraphs see the values around them")
  func controlFlow() throws {
    var builder = ModelBuilder()
    builder.input("x", [2])
    var flag = Onnx_TensorProto()
    flag.name = "flag"
    flag.dataType = Int32(OnnxElementType.bool.rawValue)
    flag.int32Data = [1]
    builder.model.graph.initializer.append(flag)
    builder.model.graph.initializer.append(M.tensor("trips", [], ints: [3]))
    var yes = Onnx_GraphProto()
    yes.node = [M.node("Neg", ["x"], ["negated"])]
    yes.output = [M.info("negated", [2])]
    var no = Onnx_GraphProto()
    no.node = [M.node("Unknown", ["x"], ["other"])]
    no.output = [M.info("other", [2])]
    builder.add("If", ["flag"], ["a"], [M.graph("then_branch", yes), M.graph("else_branch", no)])
    var body = Onnx_GraphProto()
    body.input = [M.info("i", [], .int64), M.info("go", [], .bool), M.info("v", [2])]
    body.node = [
      M.node("Identity", ["go"], ["on"]), M.node("Add", ["v", "x"], ["w"]),
      M.node("Identity", ["w"], ["kept"]),
    ]
    body.output = [M.info("on", [], .bool), M.info("w", [2]), M.info("kept", [2])]
    builder.add("Loop", ["trips", "flag", "a"], ["last", "all"], [M.graph("body", body)])
    builder.output("last")
    builder.output("all")
    let outputs = try builder.load().run([[1, 10]])
    // a = -x, then x is added three times.
    #expect(outputs == [[2, 20], [0, 0, 1, 10, 2, 20]])

    var scan = ModelBuilder()
    scan.input("x", [3, 2])
    scan.constant("start", [2], floats: [100, 200])
    var step = Onnx_GraphProto()
    step.input = [M.info("state", [2]), M.info("row", [2])]
    step.node = [M.node("Add", ["state", "row"], ["next"]), M.node("Neg", ["row"], ["seen"])]
    step.output = [M.info("next", [2]), M.info("seen", [2])]
    scan.add(
      "Scan", ["start", "x"], ["sum", "rows"],
      [M.graph("body", step), M.int("num_scan_inputs", 1), M.ints("scan_input_directions", [1])])
    scan.output("sum")
    scan.output("rows")
    #expect(try scan.load().run([[1, 2, 3, 4, 5, 6]]) == [[109, 212], [-5, -6, -3, -4, -1, -2]])
  }

  @Test("functions are inlined with their attributes and defaults")
  func functions() throws {
    var builder = ModelBuilder()
    builder.input("x", [2])
    var function = Onnx_FunctionProto()
    function.name = "Leaky"
    function.domain = "local"
    function.input = ["a"]
    function.output = ["b"]
    function.attribute = ["slope"]
    function.attributeProto = [M.float("offset", 0.25)]
    function.node = [
      M.node("LeakyRelu", ["a"], ["t"], [M.reference("alpha", to: "slope", type: .float)]),
      M.node("Elu", ["t"], ["b"], [M.reference("alpha", to: "offset", type: .float)]),
    ]
    builder.model.functions = [function]
    builder.add("Leaky", ["x"], ["y"], domain: "local", [M.float("slope", 0.5)])
    builder.output("y")
    let result = try builder.load().run([[-2, 3]])
    // LeakyRelu gives -1 and 3, Elu with 0.25 gives 0.25 (1/e - 1) and 3.
    #expect(abs(result[0][0] - 0.25 * (0.36787944117144233 - 1)) < 1e-15)
    #expect(result[0][1] == 3)
  }

  @Test("literals read as the numbers they were written as; weights stay as stored")
  func literals() throws {
    var builder = ModelBuilder()
    builder.input("x", [1])
    builder.add("LeakyRelu", ["x"], ["a"], [M.float("alpha", 0.1)])
    builder.add(
      "Constant", [], ["root"],
      [
        M.attribute("value") {
          $0.type = .tensor
          $0.t = M.tensor("", [], floats: [Float(8.0.squareRoot())])
        }
      ])
    builder.add("Mul", ["x", "root"], ["b"])
    builder.constant("w", [1], floats: [Float(8.0.squareRoot())])
    builder.add("Mul", ["x", "w"], ["c"])
    for name in ["a", "b", "c"] { builder.output(name) }
    let network = try builder.load()
    #expect(try network.run([[-1]]) == [[-0.1], [-8.0.squareRoot()], [-Double(Float(8.0.squareRoot()))]])
    // A deployed run rounds literals to the stored float32.
    let deployed = try network.graph.run([Tensor([1, 1], [-1])], .deployed)
    #expect(
      deployed.map(\.float64.elements) == [
        [-Double(Float(0.1))], [-Double(Float(8.0.squareRoot()))], [-Double(Float(8.0.squareRoot()))],
      ])
  }

  @Test("activations that exporters write out become one function and keep their values")
  func fusion() throws {
    var gelu = ModelBuilder()
    gelu.input("x", [4])
    gelu.constant("root", [], floats: [Float(2.0.squareRoot())])
    gelu.constant("one", [], floats: [1])
    gelu.constant("half", [], floats: [0.5])
    gelu.add("Div", ["x", "root"], ["d"])
    gelu.add("Erf", ["d"], ["e"])
    gelu.add("Add", ["e", "one"], ["f"])
    gelu.add("Mul", ["x", "f"], ["m"])
    gelu.add("Mul", ["m", "half"], ["y"])
    gelu.output("y")
    let fused = try gelu.load()
    #expect(fused.graph.nodes.count == 2)
    #expect(fused.graph.nodes.map(\.operation.kind) == ["input", "elementwise"])
    // 0.5 x (1 + erf(x / sqrt 2)) at -2, -0.5, 0, 1.5.
    let expected = [-0.04550026389635842, -0.15426876936299344, 0, 1.3997891980967129]
    for (value, reference) in zip(try fused.run([[-2, -0.5, 0, 1.5]])[0], expected) {
      #expect(abs(value - reference) < 1e-14)
    }
    var silu = ModelBuilder()
    silu.input("x", [2])
    silu.add("Sigmoid", ["x"], ["s"])
    silu.add("Mul", ["s", "x"], ["y"])
    silu.output("y")
    silu.output("s")
    // The sigmoid is an output of its own and stays.
    #expect(try silu.load().graph.nodes.count == 3)
    // A gate of another value is no Silu.
    var gate = ModelBuilder()
    gate.input("x", [2])
    gate.input("g", [2])
    gate.add("Sigmoid", ["g"], ["s"])
    gate.add("Mul", ["s", "x"], ["y"])
    gate.output("y")
    #expect(
      try gate.load().graph.nodes.map(\.operation.kind) == ["input", "input", "elementwise", "product"])
  }
}
