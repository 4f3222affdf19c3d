import FileFormats
import Foundation
import IR
import Importers
import OnnxFormat
import Testing

/// Files that are wrong in one way each: one clear error, within a second and without large memory.
@Suite("Malformed ONNX models")
struct MalformedModelTests {
  typealias M = ModelBuilder

  /// x of shape [1, 2] through Relu to y.
  func base() -> ModelBuilder {
    var builder = ModelBuilder()
    builder.input("x", [1, 2])
    builder.add("Relu", ["x"], ["y"])
    builder.output("y")
    return builder
  }

  func fileError(_ builder: ModelBuilder, _ options: ImportOptions = ImportOptions()) -> FileError? {
    do {
      _ = try builder.load(options)
      Issue.record("imported without an error")
    } catch let error as FileError {
      return error
    } catch {
      Issue.record("\(error) is no FileError")
    }
    return nil
  }

  func unsupported(_ builder: ModelBuilder) -> UnsupportedOperator? {
    do {
      _ = try builder.load()
      Issue.record("imported without an error")
    } catch let error as UnsupportedOperator {
      return error
    } catch {
      Issue.record("\(error) is no UnsupportedOperator")
    }
    return nil
  }

  @Test("the base model is fine")
  func baseline() throws {
    #expect(try base().load().run([[-1, 2]]) == [[0, 2]])
  }

  @Test("cycles, missing and doubled tensors")
  func wiring() {
    var cyclic = base()
    cyclic.add("Add", ["x", "b"], ["a"])
    cyclic.add("Relu", ["a"], ["b"])
    #expect(fileError(cyclic)?.reason == "is part of a cycle")
    var missing = base()
    missing.add("Relu", ["nowhere"], ["z"])
    missing.output("z")
    #expect(fileError(missing)?.reason.contains("'nowhere'") == true)
    var doubled = base()
    doubled.add("Relu", ["x"], ["y"])
    #expect(fileError(doubled)?.place == "tensor 'y'")
    var shadowed = base()
    shadowed.add("Relu", ["y"], ["x"])
    #expect(fileError(shadowed)?.place == "tensor 'x'")
    var noOutput = base()
    noOutput.output("z")
    #expect(fileError(noOutput)?.place == "output 'z'")
    var twice = base()
    twice.constant("w", [1], floats: [1])
    twice.constant("w", [1], floats: [1])
    #expect(fileError(twice)?.place == "tensor 'w'")
  }

  @Test("nodes in the wrong order are sorted")
  func order() throws {
    var builder = ModelBuilder()
    builder.input("x", [1, 2])
    builder.add("Relu", ["b"], ["y"])
    builder.add("Neg", ["a"], ["b"])
    builder.add("Neg", ["x"], ["a"])
    builder.output("y")
    #expect(try builder.load().run([[-1, 2]]) == [[0, 2]])
  }

  @Test("weights that are not numbers")
  func notANumber() {
    var builder = base()
    builder.constant("w", [2], floats: [1, .nan])
    builder.add("Add", ["x", "w"], ["z"])
    #expect(fileError(builder)?.place == "tensor 'w'")
  }

  @Test("versions that are not supported")
  func versions() {
    for version in [0, 2, 15, 1000] {
      var builder = base()
      builder.model.irVersion = Int64(version)
      #expect(fileError(builder)?.reason.contains("IR version \(version)") == true)
    }
    for opset in [1, 6, 29] {
      var builder = base()
      builder.model.opsetImport[0].version = Int64(opset)
      #expect(unsupported(builder)?.reason.contains("opset \(opset)") == true)
    }
    var none = base()
    none.model.opsetImport = []
    #expect(fileError(none)?.reason.contains("imports no opset") == true)
    #expect(throws: FileError.self) { try ModelBuilder.load([]) }
    #expect(throws: FileError.self) { try ModelBuilder.load(Array("not a model".utf8)) }
  }

  @Test("shapes that do not fit name the node")
  func shapes() {
    var builder = base()
    builder.constant("w", [3, 2], floats: [Float](repeating: 1, count: 6))
    builder.add("MatMul", ["x", "w"], ["z"])
    builder.output("z")
    #expect(fileError(builder)?.place == "node 'z' (MatMul)")
    var broadcast = base()
    broadcast.constant("w", [3], floats: [1, 2, 3])
    broadcast.add("Add", ["x", "w"], ["z"])
    broadcast.output("z")
    #expect(fileError(broadcast)?.place == "node 'z' (Add)")
  }

  @Test("attributes of the wrong type, unknown, doubled or out of range")
  func attributes() {
    func flatten(_ attributes: [Onnx_AttributeProto]) -> ModelBuilder {
      var builder = base()
      builder.add("Flatten", ["x"], ["z"], attributes)
      builder.output("z")
      return builder
    }
    #expect(fileError(flatten([M.float("axis", 1)]))?.place == "node 'z' (Flatten), attribute 'axis'")
    #expect(fileError(flatten([M.int("axis", 7)]))?.place == "node 'z' (Flatten), attribute 'axis'")
    #expect(fileError(flatten([M.int("axis", 1), M.int("axis", 1)])) != nil)
    let unknown = unsupported(flatten([M.int("rotate", 1)]))
    #expect(unknown?.attribute == "rotate")
    #expect(unknown?.node == "z")
    #expect(unknown?.operatorName == "Flatten")
  }

  @Test("absurd sizes are refused before memory is taken")
  func sizes() {
    var wide = ModelBuilder()
    wide.input("x", [1 << 20, 1 << 20])
    wide.add("Relu", ["x"], ["y"])
    wide.output("y")
    #expect(fileError(wide)?.place == "input 'x'")
    func constantOfShape(_ dims: [Int]) -> ModelBuilder {
      var builder = base()
      builder.constant("s", ints: dims)
      builder.add("ConstantOfShape", ["s"], ["z"])
      builder.output("z")
      return builder
    }
    #expect(fileError(constantOfShape([1 << 40])) != nil)
    #expect(fileError(constantOfShape([1 << 32, 1 << 32])) != nil)
    #expect(fileError(constantOfShape([-1])) != nil)
    for (op, ints) in [
      ("Expand", [1 << 30, 2]), ("Tile", [1 << 31, 1 << 31]), ("Tile", [1 << 20, 1 << 10]),
    ] {
      var builder = base()
      builder.constant("s", ints: ints)
      builder.add(op, ["x", "s"], ["z"])
      builder.output("z")
      #expect(fileError(builder) != nil, "\(op)")
    }
    var pad = base()
    pad.constant("p", ints: [0, 1 << 30, 0, 0])
    pad.add("Pad", ["x", "p"], ["z"])
    pad.output("z")
    #expect(fileError(pad) != nil)
    var range = base()
    for (name, value) in [("a", 0), ("b", Int.max), ("c", 1)] {
      range.model.graph.initializer.append(M.tensor(name, [], ints: [value]))
    }
    range.add("Range", ["a", "b", "c"], ["z"])
    range.output("z")
    #expect(fileError(range) != nil)
  }

  @Test("a chain of 10,000 nodes imports; so does a wide fan-out")
  func chains() throws {
    var builder = ModelBuilder()
    builder.input("x", [1, 2])
    builder.model.graph.node = (0..<10_000).map { i in
      M.node("Relu", [i == 0 ? "x" : "t\(i - 1)"], ["t\(i)"])
    }
    builder.output("t9999")
    let start = ContinuousClock.now
    let network = try builder.load()
    #expect(ContinuousClock.now - start < .seconds(5))
    #expect(network.graph.nodes.count == 10_001)
    var reversed = builder
    reversed.model.graph.node.reverse()
    #expect(try reversed.load().graph.nodes.count == 10_001)
  }

  @Test("endless loops, recursion and nesting")
  func endless() {
    var loop = base()
    var body = Onnx_GraphProto()
    body.input = [M.info("i", [], .int64), M.info("go", [], .bool), M.info("v", [1, 2])]
    body.node = [M.node("Identity", ["go"], ["on"]), M.node("Relu", ["v"], ["w"])]
    body.output = [M.info("on", [], .bool), M.info("w", [1, 2])]
    loop.add("Loop", ["", "", "x"], ["z"], [M.graph("body", body)])
    loop.output("z")
    #expect(unsupported(loop)?.operatorName == "Loop")

    var recursive = base()
    var function = Onnx_FunctionProto()
    function.name = "F"
    function.domain = "local"
    function.input = ["a"]
    function.output = ["b"]
    function.node = [M.node("F", ["a"], ["b"], domain: "local")]
    recursive.model.functions = [function]
    recursive.add("F", ["x"], ["z"], domain: "local")
    recursive.output("z")
    #expect(fileError(recursive)?.reason.contains("without end") == true)
  }

  @Test("operands of the wrong rank and absurd attributes, as mutations of valid models found them")
  func mutations() {
    var attention = ModelBuilder(opset: 23)
    for name in ["q", "k", "v"] { attention.input(name, [1, 2, 3, 4]) }
    attention.input("past", [2, 3])
    attention.add("Attention", ["q", "k", "v", "", "past", "past"], ["y"])
    attention.output("y")
    #expect(fileError(attention)?.place == "node 'y' (Attention)")

    var transposed = ModelBuilder()
    transposed.input("x", [1, 1, 3, 3])
    transposed.constant("w", [1, 1, 2, 2], floats: [1, 2, 3, 4])
    transposed.add("ConvTranspose", ["x", "w"], ["y"], [M.ints("output_shape", [4])])
    transposed.output("y")
    #expect(fileError(transposed)?.place?.contains("output_shape") == true)

    var recurrent = ModelBuilder()
    recurrent.input("x", [2, 1, 3])
    recurrent.constant("w", [1, 6, 3], floats: [Float](repeating: 1, count: 18))
    recurrent.constant("r", [1, 6, 2], floats: [Float](repeating: 1, count: 12))
    recurrent.add("GRU", ["x", "w", "r"], ["y"], [M.int("hidden_size", .max)])
    recurrent.output("y")
    #expect(fileError(recurrent) != nil)

    var empty = ModelBuilder()
    empty.input("x", [1, 1, 0, 3])
    empty.constant("w", [1, 1, 2, 2], floats: [1, 2, 3, 4])
    empty.add("Conv", ["x", "w"], ["y"], [M.ints("strides", [.max, 1])])
    empty.output("y")
    #expect(fileError(empty) != nil)

    for (op, attribute) in [
      ("Flatten", M.int("axis", .min)), ("Transpose", M.ints("perm", [.max, .min])),
      ("Softmax", M.int("axis", .max)), ("DepthToSpace", M.int("blocksize", .max)),
      ("Elu", M.float("alpha", .infinity)),
    ] {
      var builder = base()
      builder.add(op, ["x"], ["z"], [attribute])
      builder.output("z")
      #expect(fileError(builder) != nil, "\(op)")
    }
  }

  @Test("randomness and training are refused")
  func randomness() {
    var noise = base()
    noise.add("RandomNormalLike", ["x"], ["z"])
    noise.output("z")
    #expect(unsupported(noise)?.operatorName == "RandomNormalLike")
    var dropout = base()
    dropout.constant("ratio", [], floats: [0.5])
    var flag = Onnx_TensorProto()
    flag.name = "training"
    flag.dataType = Int32(OnnxElementType.bool.rawValue)
    flag.int32Data = [1]
    dropout.model.graph.initializer.append(flag)
    dropout.add("Dropout", ["x", "ratio", "training"], ["z"])
    dropout.output("z")
    #expect(unsupported(dropout)?.attribute == "training_mode")
  }

  @Test("truncations of a model are errors or other models, never traps")
  func truncation() throws {
    var builder = base()
    builder.constant("w", [2, 2], floats: [1, 2, 3, 4])
    builder.add("MatMul", ["y", "w"], ["z"])
    builder.output("z")
    let bytes: [UInt8] = try builder.model.serializedBytes()
    for length in 0..<bytes.count {
      do {
        _ = try ModelBuilder.load(Array(bytes[0..<length]))
      } catch is FileError {
      } catch is UnsupportedOperator {
      }
    }
    // Every single byte overwritten, too.
    for place in bytes.indices {
      var damaged = bytes
      damaged[place] ^= 0xff
      do {
        _ = try ModelBuilder.load(damaged)
      } catch is FileError {
      } catch is UnsupportedOperator {
      }
    }
  }
}
