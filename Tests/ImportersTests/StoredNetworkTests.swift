import Domains
import FileFormats
import IR
import Importers
import OnnxFormat
import Operators
import Rigor
import Tensors
import Testing

/// What a file means under real arithmetic: bounds at a point contain the exact value and next to nothing else.
@Suite("Bounds speak of the stored network")
struct StoredNetworkTests {
  typealias M = ModelBuilder

  /// Bounds of the first output at a point, or over a box.
  private func bounds(_ builder: ModelBuilder, _ lower: [[Double]], _ upper: [[Double]]? = nil) throws
    -> Interval
  {
    let graph = try builder.load().graph
    let sets = zip(graph.inputNodes, lower.indices).map { node, i -> InputSet in
      let shape = [1] + node.shape
      guard let upper else { return .fixed(Tensor(shape, lower[i])) }
      return .box(lower: Tensor(shape, lower[i]), upper: Tensor(shape, upper[i]))
    }
    return try #require(graph.intervals(over: Region(sets)).values[graph.outputs[0].node])
  }

  private func expect(
    _ bounds: Interval, _ place: Int = 0, contains exact: Rational, within width: Double,
    sourceLocation: SourceLocation = #_sourceLocation
  ) {
    let (lower, upper) = (bounds.lower[flat: place], bounds.upper[flat: place])
    guard lower.isFinite, upper.isFinite else {
      Issue.record("\(lower)...\(upper)", sourceLocation: sourceLocation)
      return
    }
    #expect(
      Rational(lower) <= exact && exact <= Rational(upper),
      "\(lower)...\(upper) without \(exact.nearestDouble)",
      sourceLocation: sourceLocation)
    #expect(upper - lower <= width, "\(lower)...\(upper)", sourceLocation: sourceLocation)
  }

  // MARK: Constants that are combined

  /// y = x + 0.1 C, where 0.1 is the attribute's decimal.
  @Test(arguments: [[1, 1], [1], [1, 3]]) func gemmBeta(dims: [Int]) throws {
    let columns = dims.last ?? 1
    var builder = ModelBuilder()
    builder.input("x", [2, 1])
    builder.constant("w", [1, 3], floats: [1, 1, 1])
    builder.constant("c", dims, floats: (0..<columns).map { Float($0 + 1) * 1000 })
    builder.add("Gemm", ["x", "w", "c"], ["y"], [M.float("beta", 0.1)])
    builder.output("y")
    let y = try bounds(builder, [[0, 0]])
    for place in 0..<6 {
      expect(y, place, contains: Rational(0.1) * Rational(1000 * (place % columns + 1)), within: 1e-9)
    }
    var wrong = ModelBuilder()
    wrong.input("x", [2, 1])
    wrong.constant("w", [1, 3], floats: [1, 1, 1])
    wrong.constant("c", [4], floats: [1, 2, 3, 4])
    wrong.add("Gemm", ["x", "w", "c"], ["y"], [M.float("beta", 0.3)])
    wrong.output("y")
    #expect(throws: FileError.self) { try wrong.load() }
  }

  @Test(arguments: ["Sum", "Mean"]) func sumsOfConstants(op: String) throws {
    var builder = ModelBuilder()
    builder.input("x", [1])
    let constants: [(String, Float)] = [("a", 1e16), ("b", 1), ("c", -1e16)]
    for (name, value) in constants { builder.constant(name, [1], floats: [value]) }
    builder.add(op, ["x", "a", "b", "c"], ["y"])
    builder.output("y")
    let sum = constants.reduce(Rational.zero) { $0 + Rational($1.1) }
    expect(try bounds(builder, [[0]]), contains: op == "Sum" ? sum : sum / 4, within: 20)
  }

  @Test func underflow() throws {
    // exp(-800) 1e300 1e300 x, and 1e-200 1e-200 1e300 1e300 x = 1e200 x
    var builder = ModelBuilder()
    builder.input("x", [1], .float64)
    builder.constant("a", [1], doubles: [1e-200])
    builder.constant("b", [1], doubles: [1e300])
    builder.add("Mul", ["a", "a"], ["t"])
    builder.add("Mul", ["t", "b"], ["u"])
    builder.add("Mul", ["u", "b"], ["v"])
    builder.add("Mul", ["x", "v"], ["y"])
    builder.output("y")
    let y = try bounds(builder, [[1]])
    #expect(y.lower[flat: 0] <= 9.99e199 && y.upper[flat: 0] >= 1.01e200)
    var exponential = ModelBuilder()
    exponential.input("x", [1], .float64)
    exponential.constant("a", [1], doubles: [-800])
    exponential.constant("b", [1], doubles: [1e300])
    exponential.add("Exp", ["a"], ["t"])
    exponential.add("Mul", ["t", "b"], ["u"])
    exponential.add("Mul", ["u", "b"], ["v"])
    exponential.add("Mul", ["x", "v"], ["y"])
    exponential.output("y")
    // 3.67e252, in 240 bits
    #expect(try bounds(exponential, [[1]]).upper[flat: 0] >= 3.68e252)
    // A small divisor's inverse, a large one's.
    for divisor in [1e308, 3e-320] {
      var quotient = ModelBuilder()
      quotient.input("x", [1], .float64)
      quotient.constant("d", [1], doubles: [divisor])
      quotient.add("Div", ["x", "d"], ["y"])
      quotient.output("y")
      let bounds = try bounds(quotient, [[divisor]])
      #expect(bounds.lower[flat: 0] <= 1 && bounds.upper[flat: 0] >= 1)
    }
  }

  // MARK: Tables

  @Test func affineGrid() throws {
    var builder = ModelBuilder(opset: 20)
    builder.input("t", [1, 2, 3])
    builder.constant("s", ints: [1, 1, 1, 60])
    builder.add("AffineGrid", ["t", "s"], ["y"], [M.int("align_corners", 0)])
    builder.output("y")
    let y = try bounds(builder, [[1, 0, 0, 0, 1, 0]])
    for i in 0..<60 { expect(y, 2 * i, contains: Rational(2 * i + 1 - 60, 60), within: 1e-13) }
  }

  /// sin^2(pi i / n) in intervals from Taylor's series with exact remainders, so that nothing rests on a library.
  private func squaredSine(_ i: Int, _ n: Int) -> (Rational, Rational) {
    // pi to 36 digits
    let digits = Rational("3.14159265358979323846264338327950288") ?? .zero
    let pi = (digits, digits + Rational(1, 1 << 60) * Rational(1, 1 << 50))
    func sine(_ x: Rational) -> (Rational, Rational) {
      var (sum, term) = (Rational.zero, x)
      for k in 0..<20 {
        sum += term
        term = -term * x * x / Rational((2 * k + 2) * (2 * k + 3))
      }
      return (sum - term.magnitude, sum + term.magnitude)
    }
    let j = min(i, n - i)
    let (low, high) = (sine(pi.0 * Rational(j, n)).0, sine(pi.1 * Rational(j, n)).1)
    return (low * low, high * high)
  }

  @Test(arguments: ["HannWindow", "HammingWindow", "BlackmanWindow"]) func windows(op: String) throws {
    for (size, periodic) in [(50, 1), (51, 0), (7, 1)] {
      var builder = ModelBuilder()
      builder.input("x", [size], .float64)
      builder.constant("n", ints: [size])
      builder.add("Squeeze", ["n"], ["scalar"])
      builder.add(op, ["scalar"], ["w"], [M.int("output_datatype", 11), M.int("periodic", periodic)])
      builder.add("Mul", ["x", "w"], ["y"])
      builder.output("y")
      let y = try bounds(builder, [[Double](repeating: 1, count: size)])
      for i in 0..<size {
        // cos(2 a) = 1 - 2 sin^2 a
        let (low, high) = squaredSine(i, periodic == 1 ? size : size - 1)
        func value(_ s: Rational) -> Rational {
          let cosine = 1 - 2 * s
          switch op {
          case "HannWindow": return Rational(1, 2) - cosine / 2
          case "HammingWindow": return Rational(25, 46) - Rational(21, 46) * cosine
          default: return Rational(42, 100) - cosine / 2 + Rational(8, 100) * (2 * cosine * cosine - 1)
          }
        }
        expect(y, i, contains: value(low), within: 1e-13)
        expect(y, i, contains: value(high), within: 1e-13)
      }
    }
  }

  /// x[2] has a weight of 1e-17 that g + 1 in Float64 would lose.
  @Test func gridSample() throws {
    var builder = ModelBuilder(opset: 16)
    builder.input("x", [1, 1, 1, 3])
    builder.constant("g", [1, 1, 1, 2], floats: [1e-17, 0])
    builder.add("GridSample", ["x", "g"], ["y"], [M.int("align_corners", 1), M.text("mode", "bilinear")])
    builder.output("y")
    expect(
      try bounds(builder, [[0, 0, 1e17]]), contains: Rational(Float(1e-17)) * Rational(1e17), within: 1e-13)
  }

  @Test func range() throws {
    var builder = ModelBuilder()
    builder.input("x", [4], .float64)
    let numbers = [(name: "start", value: 1e9), ("limit", 1e9 + 0.4), ("step", 0.1)]
    for (name, value) in numbers { builder.constant(name, [], doubles: [value]) }
    builder.add("Range", ["start", "limit", "step"], ["r"])
    builder.constant("minus", [], doubles: [-1e9])
    builder.add("Add", ["r", "minus"], ["d"])
    builder.add("Mul", ["x", "d"], ["y"])
    builder.output("y")
    let y = try bounds(builder, [[1, 1, 1, 1]])
    for i in 0..<4 { expect(y, i, contains: Rational(i) * Rational(0.1), within: 1e-5) }
  }

  // MARK: Units

  /// The functions of the elementwise nodes.
  private func functions(_ builder: ModelBuilder) throws -> [String] {
    try builder.load().graph.nodes.compactMap {
      if case .elementwise(let f) = $0.operation { f.name } else { nil }
    }
  }

  @Test(arguments: [
    (6.0, "Div", true), (6.0.nextUp, "Div", false), (6.0000006, "Div", false), (1 / 6.0, "Mul", true),
    ((1 / 6.0).nextUp, "Mul", false),
  ])
  func hardSwish(number: Double, op: String, isUnit: Bool) throws {
    var builder = ModelBuilder()
    builder.input("x", [1], .float64)
    for (name, value) in [("three", 3.0), ("zero", 0), ("six", 6), ("s", number)] {
      builder.constant(name, [], doubles: [value])
    }
    builder.add("Add", ["x", "three"], ["d"])
    builder.add("Clip", ["d", "zero", "six"], ["e"])
    builder.add("Mul", ["x", "e"], ["f"])
    builder.add(op, ["f", "s"], ["y"])
    builder.output("y")
    #expect(try functions(builder).contains("HardSwish") == isUnit)
    // 3 clip(6, 0, 6) over the stored divisor
    let factor = op == "Div" ? Rational(number).reciprocal : Rational(number)
    if !isUnit { expect(try bounds(builder, [[3]]), contains: 18 * factor, within: 1e-12) }
  }

  @Test(arguments: [(Float(6), true), (Float(6).nextDown, false), (Float(6).nextUp, false)])
  func hardSwishInFloat(divisor: Float, isUnit: Bool) throws {
    var builder = ModelBuilder()
    builder.input("x", [1])
    for (name, value) in [("three", Float(3)), ("zero", 0), ("six", 6), ("s", divisor)] {
      builder.constant(name, [], floats: [value])
    }
    builder.add("Add", ["x", "three"], ["d"])
    builder.add("Clip", ["d", "zero", "six"], ["e"])
    builder.add("Mul", ["x", "e"], ["f"])
    builder.add("Div", ["f", "s"], ["y"])
    builder.output("y")
    #expect(try functions(builder).contains("HardSwish") == isUnit)
    expect(try bounds(builder, [[3]]), contains: 18 / Rational(divisor), within: 1e-12)
  }

  @Test(arguments: [(1.0, true), (1.0000001, false), (1.0.nextUp, false)])
  func silu(scale: Double, isUnit: Bool) throws {
    var builder = ModelBuilder()
    builder.input("x", [1], .float64)
    builder.constant("s", [], doubles: [scale])
    builder.add("Sigmoid", ["x"], ["e"])
    builder.add("Mul", ["x", "e"], ["q"])
    builder.add("Mul", ["q", "s"], ["y"])
    builder.output("y")
    // x sigmoid(x) is Silu in any case; the product with another number than 1 is not.
    let graph = try builder.load().graph
    let isElementwise =
      if case .elementwise(let f) = graph[graph.outputs[0].node].operation { f.name == "Silu" } else { false }
    #expect(isElementwise == isUnit)
  }

  @Test(arguments: [
    (Float(0.5).squareRoot(), true), (Float(0.5).squareRoot().nextUp, false), (0.7071, false),
  ])
  func gelu(factor: Float, isUnit: Bool) throws {
    var builder = ModelBuilder()
    builder.input("x", [1])
    builder.constant("r", [], floats: [factor])
    builder.constant("one", [], floats: [1])
    builder.constant("half", [], floats: [0.5])
    builder.add("Mul", ["x", "r"], ["a"])
    builder.add("Erf", ["a"], ["b"])
    builder.add("Add", ["b", "one"], ["c"])
    builder.add("Mul", ["x", "c"], ["d"])
    builder.add("Mul", ["d", "half"], ["y"])
    builder.output("y")
    #expect(try functions(builder).contains("Gelu") == isUnit)
  }

  // MARK: Literals

  /// A constant that is an epsilon in one place and a divisor in another, and a summand in a third.
  @Test func readingsBelongToUses() throws {
    func model(_ number: Float, _ nodes: [(String, [String], [String])]) -> ModelBuilder {
      var builder = ModelBuilder()
      builder.input("x", [1])
      builder.add("Constant", [], ["c"], [M.tensor("value", M.tensor("", [], floats: [number]))])
      for (op, inputs, outputs) in nodes { builder.add(op, inputs, outputs) }
      builder.output("y")
      return builder
    }
    let root = Float(8).squareRoot()
    // Under a square root 1e-5 is the decimal; as a summand elsewhere the stored float32.
    let epsilon = model(
      1e-5, [("Add", ["x", "c"], ["s"]), ("Sqrt", ["s"], ["r"]), ("Add", ["x", "c"], ["y"])])
    expect(try bounds(epsilon, [[0]]), contains: Rational(Float(1e-5)), within: 1e-17)
    let both = model(
      1e-5, [("Add", ["x", "c"], ["s"]), ("Sqrt", ["s"], ["r"]), ("Sub", ["s", "c"], ["y"])])
    expect(try bounds(both, [[0]]), contains: Rational(1e-5) - Rational(Float(1e-5)), within: 1e-17)
    // A root is one as a factor only.
    expect(
      try bounds(model(root, [("Mul", ["x", "c"], ["y"])]), [[1]]), contains: Rational(8.0.squareRoot()),
      within: 1e-14)
    expect(
      try bounds(model(root, [("Add", ["x", "c"], ["y"])]), [[0]]), contains: Rational(root), within: 1e-14)
  }

  // MARK: Integers

  private func integers(
    _ op: String, _ type: OnnxElementType, _ constant: Int, _ attributes: [Onnx_AttributeProto] = []
  )
    -> ModelBuilder
  {
    var builder = ModelBuilder(opset: 18)
    builder.input("x", [1])
    builder.constant("k", [1], type, small: [constant])
    builder.add("Cast", ["x"], ["a"], [M.int("to", type.rawValue)])
    builder.add(op, ["a", "k"], ["b"], attributes)
    builder.add("Cast", ["b"], ["y"], [M.int("to", 1)])
    builder.output("y")
    return builder
  }

  @Test(arguments: [
    ("Mul", OnnxElementType.uint8, 100), ("Add", .uint8, 250), ("Sub", .uint8, 5), ("Mul", .int8, 50),
    ("Sub", .int8, 120), ("Add", .int16, 32766), ("Mul", .int32, 2_000_000_000), ("Mul", .uint16, 40000),
    ("BitShift", .uint8, 6), ("Div", .int8, -1), ("Pow", .int32, 30),
  ])
  func integersWrap(op: String, type: OnnxElementType, constant: Int) throws {
    let attributes = op == "BitShift" ? [M.text("direction", "LEFT")] : []
    let builder = integers(op, type, constant, attributes)
    let network = try builder.load()
    let signed = type == .int8 || type == .int16 || type == .int32
    for x in [0.0, 1, 2, 3, 5, 7] + (signed ? [-1, -3, -128] : []) {
      // What two's complement gives.
      let exact: Int
      let (a, k) = (Int(x), constant)
      switch op {
      case "Mul": exact = a * k
      case "Add": exact = a + k
      case "Sub": exact = a - k
      case "Div": exact = a / k
      case "Pow": exact = a.magnitude <= 3 ? Int((0..<k).reduce(1) { p, _ in p &* a }) : 0
      default: exact = a << k
      }
      if op == "Pow" && a.magnitude > 2 { continue }
      let right: Double
      switch type {
      case .uint8: right = Double(UInt8(truncatingIfNeeded: exact))
      case .int8: right = Double(Int8(truncatingIfNeeded: exact))
      case .int16: right = Double(Int16(truncatingIfNeeded: exact))
      case .uint16: right = Double(UInt16(truncatingIfNeeded: exact))
      default: right = Double(Int32(truncatingIfNeeded: exact))
      }
      #expect(try network.run([[x]]) == [[right]], "\(op) \(type) \(constant) at \(x)")
      let point = try bounds(builder, [[x]])
      #expect(
        point.lower[flat: 0] == right && point.upper[flat: 0] == right, "\(op) \(type) \(constant) at \(x)")
    }
    if op != "BitShift" && op != "Pow" {
      let box = try bounds(builder, [[0]], [[7.5]])
      for x in 0...7 {
        let y = try network.run([[Double(x)]])[0][0]
        #expect(box.lower[flat: 0] <= y && y <= box.upper[flat: 0], "\(op) \(type) \(constant) at \(x)")
      }
    }
  }

  @Test func castsBetweenIntegersWrap() throws {
    var builder = ModelBuilder()
    builder.input("x", [4], .int32)
    builder.add("Cast", ["x"], ["a"], [M.int("to", OnnxElementType.uint8.rawValue)])
    builder.add("Cast", ["a"], ["b"], [M.int("to", OnnxElementType.int8.rawValue)])
    builder.add("Cast", ["b"], ["y"], [M.int("to", 1)])
    builder.output("y")
    let values: [Double] = [300, -1, 128, 127]
    let right = values.map { Double(Int8(truncatingIfNeeded: Int($0))) }
    #expect(try builder.load().run([values]) == [right])
    let y = try bounds(builder, [values])
    #expect(y.lower.elements == right && y.upper.elements == right)
  }

  /// (n - 320) / 160 of a fixed n is an integer, and 0 / 160 is 0.
  @Test func fixedIntegersAreExact() throws {
    var builder = ModelBuilder()
    builder.input("n", [1], .int64)
    builder.constant("w", ints: [320])
    builder.constant("h", ints: [160])
    builder.add("Sub", ["n", "w"], ["d"])
    builder.add("Div", ["d", "h"], ["k"])
    builder.output("k")
    let k = try bounds(builder, [[1600]])
    #expect(k.lower[flat: 0] == 8 && k.upper[flat: 0] == 8)
    var quotient = ModelBuilder()
    quotient.input("n", [2])
    quotient.constant("h", [1], floats: [160])
    quotient.add("Div", ["n", "h"], ["q"])
    quotient.add("Floor", ["q"], ["y"])
    quotient.output("y")
    let y = try bounds(quotient, [[0, 1]])
    #expect(y.lower.elements == [0, 0] && y.upper.elements == [0, 0])
  }

  // MARK: Types

  @Test(arguments: [
    ("Add", OnnxElementType.int32), ("Div", .uint16), ("MatMul", .int64), ("Max", .float64),
    ("PRelu", .int64),
  ])
  func operandsOfTwoTypes(op: String, type: OnnxElementType) throws {
    var builder = ModelBuilder()
    builder.input("x", [2, 2])
    builder.input("c", [2, 2], type)
    builder.add(op, ["c", "x"], ["y"])
    builder.output("y")
    #expect(throws: FileError.self) { try builder.load() }
  }

  @Test(arguments: [
    ("Relu", OnnxElementType.uint8, 17), ("Sigmoid", .int32, 17), ("Erf", .bool, 17), ("Add", .bool, 17),
    ("Add", .int8, 13), ("Not", .float32, 17), ("Relu", .int32, 13),
  ])
  func typesThatAnOperatorDoesNotTake(op: String, type: OnnxElementType, opset: Int) throws {
    var builder = ModelBuilder(opset: opset)
    builder.input("x", [2], type)
    builder.add(op, op == "Add" ? ["x", "x"] : ["x"], ["y"])
    builder.output("y")
    #expect(throws: FileError.self) { try builder.load() }
  }

  @Test func typesThatOperatorsTake() throws {
    var builder = ModelBuilder()
    builder.input("x", [2], .int8)
    builder.add("Relu", ["x"], ["a"])
    builder.add("Add", ["a", "x"], ["b"])
    builder.add("Cast", ["b"], ["c"], [M.int("to", 1)])
    builder.add("Pow", ["c", "x"], ["y"])
    builder.output("y")
    #expect(try builder.load().run([[1, 2]]) == [[2, 16]])
  }

  // MARK: Numbers that are none

  @Test(arguments: [Float.infinity, -.infinity, .greatestFiniteMagnitude]) func hugeConstants(number: Float)
    throws
  {
    for op in ["Gemm", "Add", "Mul", "MatMul"] {
      var builder = ModelBuilder()
      builder.input("x", [1, 1])
      builder.constant("w", [1, 1], floats: [1])
      builder.constant("c", [1, 1], floats: [number])
      builder.add(op, op == "Gemm" ? ["x", "w", "c"] : ["x", "c"], ["y"])
      builder.output("y")
      let y = try bounds(builder, [[-1]], [[1]])
      #expect(y.lower[flat: 0] <= y.upper[flat: 0])
      #expect(number.isFinite || y.upper[flat: 0] == .infinity || y.lower[flat: 0] == -.infinity)
    }
  }

  /// 1e308 + 1e308 - 1e308 - 5e307: the sum overflows on its way, its value does not.
  @Test func sumsThatOverflow() throws {
    var builder = ModelBuilder()
    builder.input("x", [1, 4], .float64)
    builder.constant("w", [4, 1], doubles: [1e308, 1e308, -1e308, -5e307])
    builder.add("MatMul", ["x", "w"], ["y"])
    builder.output("y")
    let y = try bounds(builder, [[1, 1, 1, 1]])
    #expect(y.lower[flat: 0] <= 5e307 && y.upper[flat: 0] >= 5e307)
  }
}
