import Domains
import FileFormats
import IR
import Inputs
import Rigor
import Tensors
import Testing

@Suite struct DecimalTests {
  /// The doubles around a number, checked against exact rationals.
  @Test(arguments: [
    "0.1", "-0.1", "0.5", "1e-400", "-1e-400", "1e-19999", "-0.5e-2000", "0e9",
    "123456789012345678901234567890", "2/255", "1/3", "4", "1e22", "1e23",
  ])
  func numbersAreEnclosed(text: String) throws {
    let number = try #require(DecimalNumber(text))
    let exact = try #require(Rational(text))
    #expect(Rational(number.lower) <= exact && exact <= Rational(number.upper))
    #expect(number.lower == number.upper || number.lower.nextUp == number.upper)
    #expect(number.nearest == exact.nearestDouble)
  }

  @Test(arguments: ["", "x", "nan", "inf", "1e999", "1/0", "--1", "0x10"])
  func otherTextsAreNoNumbers(text: String) { #expect(DecimalNumber(text) == nil) }

  @Test func integersAreExact() throws {
    let number = try #require(DecimalNumber("1234567"))
    #expect(number == DecimalNumber(exactly: 1_234_567))
  }
}

@Suite struct PerturbedRegionTests {
  /// Networks that read token numbers only: the way out is named.
  @Test func networksOfIntegersNameTheBox() throws {
    let graph = graph(2, type: .int64)
    let inputs = try inputs("[1,2]", graph)
    let radius = try #require(DecimalNumber("0.01"))
    for perturbed in [nil, ["x"]] {
      let error = #expect(throws: GraphError.self) {
        try PerturbedRegion(around: inputs, radius: radius, norm: .linf, perturbed: perturbed, in: graph)
      }
      #expect(error?.description.contains("--box") == true)
    }
  }

  /// A network that returns its input.
  func graph(_ count: Int, type: ElementType = .float32) -> Graph {
    var builder = GraphBuilder()
    let x = builder.input("x", [count], type: type)
    builder.output(x, name: "y")
    return builder.build()
  }

  func inputs(_ text: String, _ graph: Graph) throws -> NetworkInputs {
    let field = JSONField(root: try .parse(text), file: "text")
    return try NetworkInputs(InputDocument(file: "text", values: .single(DecimalTensor(field))), for: graph)
  }

  /// The box must contain every point of the written ball and hardly more.
  @Test func boxesContainTheWrittenBall() throws {
    let texts = ["0.1", "-0.3", "1e-30", "7", "1000000.1", "0.5", "-1e15"]
    let graph = graph(texts.count)
    let values = try inputs("[" + texts.joined(separator: ",") + "]", graph)
    for radius in ["0.1", "0.25", "1/3", "1e-20", "1e9"] {
      let number = try #require(DecimalNumber(radius))
      let region = try PerturbedRegion(around: values, radius: number, norm: .linf, in: graph)
      guard case .box(let lower, let upper) = region.region.inputs[0] else {
        Issue.record("no box")
        continue
      }
      let r = try #require(Rational(radius))
      for (i, text) in texts.enumerated() {
        let c = try #require(Rational(text))
        #expect(Rational(lower[flat: i]) <= c - r && c + r <= Rational(upper[flat: i]))
        let slack = 4 * max(abs(c.nearestDouble), number.upper).ulp
        #expect(Rational(lower[flat: i] + slack) >= c - r && c + r >= Rational(upper[flat: i] - slack))
      }
    }
  }

  @Test func ballsGrowByWhatTheCentreIsOff() throws {
    let graph = graph(3)
    let values = try inputs("[0.1,0.2,0.5]", graph)
    let radius = try #require(DecimalNumber("0.25"))
    for norm in [PerturbationNorm.l1, .l2] {
      let region = try PerturbedRegion(around: values, radius: radius, norm: norm, in: graph)
      guard case .ball(let center, let grown, _) = region.region.inputs[0] else {
        Issue.record("no ball")
        continue
      }
      // The sum of the exact offsets bounds both norms.
      var offset = Rational(0)
      for (double, text) in zip(center.elements, ["0.1", "0.2", "0.5"]) {
        let difference = Rational(double) - (try #require(Rational(text)))
        offset = difference.sign < 0 ? offset - difference : offset + difference
      }
      #expect(Rational(grown) >= Rational(0.25) + offset && grown < 0.25 + 1e-15)
    }
  }

  @Test func integersAreNotPerturbed() throws {
    let graph = graph(2, type: .int64)
    let values = try inputs("[5.0,2]", graph)
    #expect(values.values[0].nearest == [5, 2])
    #expect(throws: FileError.self) { try inputs("[5.5,2]", graph) }
    #expect(throws: GraphError.self) {
      try PerturbedRegion(
        around: values, radius: DecimalNumber(exactly: 1), norm: .linf, perturbed: ["x"], in: graph)
    }
  }

  @Test func nestedListsGiveTheShape() throws {
    let tensor = try DecimalTensor(JSONField(root: .parse("[[1,2,3],[4,5,6]]"), file: "text"))
    #expect(tensor.shape == [2, 3] && tensor.nearest == [1, 2, 3, 4, 5, 6])
    let flat = try DecimalTensor(JSONField(root: .parse("[1,2]"), file: "text"))
    #expect(flat.shape == nil)
  }
}
