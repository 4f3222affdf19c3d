import FileFormats
import Foundation
import TestSupport
import Testing

@Suite struct BoundsCommandTests {
  @Test(arguments: methods) func everyMethodContainsTheCentreAndTheCorners(method: String) throws {
    let document = try json("bounds", mlp, "0.02", "--method", method)
    #expect(document.objectValue?.keys == ["method", "norm", "epsilon", "outputs", "seconds"])
    #expect(document["norm"] == "inf")
    #expect(document["epsilon"]?.doubleValue == 0.02)
    if method != "best" { #expect(document["method"]?.stringValue == method) }
    let bounds = try OutputBounds(document)
    #expect(bounds.name == "y" && bounds.shape == [1, 10])
    #expect(bounds.lower.count == 10 && bounds.upper.count == 10)
    let folder = try TemporaryFolder()
    let point = try sample()
    for sign in [-1.0, 1.0] {
      let corner = point.enumerated().map { $0.element + ($0.offset.isMultiple(of: 2) ? sign : -sign) * 0.02 }
      let run = try json(
        "run", mlp, "--input", folder.write("corner.json", text(corner)), "--precision", "float64")
      let values = try #require(run["outputs"]?[0]?["values"]).results
      for i in 0..<10 {
        #expect(bounds.lower[i] <= values[i] + 1e-12 && values[i] <= bounds.upper[i] + 1e-12)
        #expect(bounds.lower[i] < bounds.center[i] && bounds.center[i] < bounds.upper[i])
      }
    }
  }

  @Test func dearerMethodsAreNotLooser() throws {
    func width(_ method: String) throws -> Double {
      try OutputBounds(json("bounds", mlp, "0.03", "--method", method)).width
    }
    let ibp = try width("ibp")
    let crownIBP = try width("crown-ibp")
    let crown = try width("crown")
    let best = try width("best")
    #expect(crownIBP < ibp && crown <= crownIBP && best <= crown * (1 + 1e-12))
  }

  @Test func theTextNamesEverythingThatMatters() throws {
    let result = try nnverify("bounds", mlp, "0.02")
    #expect(result.status == 0 && result.errors.isEmpty)
    for part in [
      "at centre", "lower", "upper", "width", "y[7]", "predicted class: 7, certified", "rounding included",
      "the sample beside the network", "method",
    ] {
      #expect(result.output.contains(part), "\(part) is missing in\n\(result.output)")
    }
    let wide = try nnverify("bounds", mlp, "1")
    #expect(wide.output.contains("predicted class: 7, not certified"))
  }

  /// What people read must be as true as what was computed.
  @Test func printedBoundsAreRoundedOutwards() throws {
    let bounds = try OutputBounds(json("bounds", mlp, "0.02", "--method", "crown"))
    let lines = try nnverify("bounds", mlp, "0.02", "--method", "crown").output.split(separator: "\n")
    for i in 0..<10 {
      let line = try #require(lines.first { $0.hasPrefix("y[\(i)]") })
      let cells = line.split(separator: " ").map(String.init)
      #expect(try #require(Double(cells[2])) <= bounds.lower[i])
      #expect(try #require(Double(cells[3])) >= bounds.upper[i])
    }
  }

  @Test func withoutSampleTheZeroVectorIsUsedAndSaidSo() throws {
    let folder = try TemporaryFolder()
    let copy = folder.path("copy.onnx")
    try FileManager.default.copyItem(
      at: SharedData.project.appendingPathComponent(mlp), to: URL(fileURLWithPath: copy))
    let result = try nnverify("bounds", copy, "0.01")
    #expect(result.output.contains("the zero vector"))
    let zeros = try folder.write("zeros.json", text(Array(repeating: 0, count: 64)))
    let given = try OutputBounds(json("bounds", copy, "0.01", "--input", zeros, "--method", "crown"))
    let silent = try OutputBounds(json("bounds", copy, "0.01", "--method", "crown"))
    #expect(given.lower == silent.lower && given.upper == silent.upper)
  }

  @Test(arguments: ["1", "2", "inf"]) func ballsOfEveryNorm(norm: String) throws {
    let document = try json("bounds", mlp, "0.1", "--norm", norm, "--method", "crown")
    #expect(document["norm"]?.stringValue == norm)
    let bounds = try OutputBounds(document)
    #expect(zip(bounds.lower, bounds.upper).allSatisfy { $0 < $1 })
  }

  @Test func ballsAreNested() throws {
    func width(_ norm: String) throws -> Double {
      try OutputBounds(json("bounds", mlp, "0.1", "--norm", norm, "--method", "crown")).width
    }
    #expect(try width("1") < width("2"))
    #expect(try width("2") < width("inf"))
  }

  @Test func aBoxGivesTheSameBoundsAsTheBall() throws {
    let folder = try TemporaryFolder()
    let point = try sample()
    let lower = point.map { $0 - 0.03125 }
    let upper = point.map { $0 + 0.03125 }
    let box = try folder.write(
      "box.json", "{\"shape\":[1,64],\"lower\":\(text(lower)),\"upper\":\(text(upper))}")
    let named = try folder.write(
      "named.json", "{\"inputs\":{\"x\":{\"lower\":\(text(lower)),\"upper\":\(text(upper))}}}")
    let ball = try OutputBounds(json("bounds", mlp, "0.03125", "--method", "crown"))
    for file in [box, named] {
      let document = try json("bounds", mlp, "--box", file, "--method", "crown")
      #expect(document["epsilon"] == JSONValue.null && document["norm"] == "inf")
      let bounds = try OutputBounds(document)
      for i in 0..<10 {
        #expect(abs(bounds.lower[i] - ball.lower[i]) < 1e-9 && abs(bounds.upper[i] - ball.upper[i]) < 1e-9)
        #expect(abs(bounds.center[i] - ball.center[i]) < 1e-9)
      }
      // EPSILON is ignored with a box.
      let again = try OutputBounds(json("bounds", mlp, "7", "--box", file, "--method", "crown"))
      #expect(again.lower == bounds.lower)
    }
  }

  @Test func aFixedInputGivesThePoint() throws {
    let folder = try TemporaryFolder()
    let point = try text(sample())
    let box = try folder.write("box.json", "{\"lower\":\(point),\"upper\":\(point)}")
    let bounds = try OutputBounds(json("bounds", mlp, "--box", box))
    #expect(bounds.width < 1e-9)
    let zero = try OutputBounds(json("bounds", mlp, "0"))
    #expect(zero.width < 1e-9)
  }

  @Test func marginsAreDifferencesOfOutputs() throws {
    let document = try json("bounds", mlp, "0.02", "--margins", "7", "--method", "crown")
    let bounds = try OutputBounds(document)
    #expect(bounds.shape == [9])
    let outputs = try OutputBounds(json("bounds", mlp, "0.02", "--method", "crown"))
    for (row, other) in [0, 1, 2, 3, 4, 5, 6, 8, 9].enumerated() {
      #expect(abs(bounds.center[row] - (outputs.center[7] - outputs.center[other])) < 1e-9)
      #expect(bounds.lower[row] >= outputs.lower[7] - outputs.upper[other] - 1e-9)
    }
    let table = try nnverify("bounds", mlp, "0.02", "--margins", "7").output
    #expect(table.contains("7 minus 0") && !table.contains("7 minus 7"))
  }

  @Test func rowsAreAnyLinearMap() throws {
    let folder = try TemporaryFolder()
    var row = Array(repeating: 0.0, count: 10)
    row[7] = 1
    row[1] = -1
    let file = try folder.write("rows.json", "{\"rows\":[\(text(row)),\(text(row.map { $0 * 0.1 }))]}")
    let rows = try OutputBounds(json("bounds", mlp, "0.02", "--rows", file, "--method", "crown"))
    let margins = try OutputBounds(json("bounds", mlp, "0.02", "--margins", "7", "--method", "crown"))
    #expect(rows.shape == [2])
    #expect(abs(rows.lower[0] - margins.lower[1]) < 1e-9 && abs(rows.upper[0] - margins.upper[1]) < 1e-9)
    #expect(abs(rows.lower[1] - 0.1 * margins.lower[1]) < 1e-9)
    // 0.1 is no double: the bounds of its row hold for one tenth.
    #expect(rows.lower[1] < 0.1 * rows.lower[0])
  }

  @Test func intermediateBoundsOfEveryNode() throws {
    let document = try json("bounds", mlp, "0.02", "--intermediate", "--method", "crown")
    let nodes = try #require(document["nodes"]?.arrayValue)
    #expect(nodes.count >= 6)
    for node in nodes {
      #expect(node["name"]?.stringValue != nil && node["operator"]?.stringValue != nil)
      let lower = try #require(node["lower"]).results
      let upper = try #require(node["upper"]).results
      #expect(lower.count == (try #require(node["shape"]?.ints)).reduce(1, *))
      #expect(zip(lower, upper).allSatisfy { $0 <= $1 })
    }
    #expect(try nnverify("bounds", mlp, "0.02", "--intermediate").output.contains("mean width"))
  }

  @Test(arguments: methods) func coefficientsBoundTheOutputs(method: String) throws {
    let document = try json("bounds", mlp, "0.02", "--coefficients", "--method", method)
    let linear = try #require(document["coefficients"]?[0])
    let input = try #require(linear["inputs"]?[0])
    #expect(input["name"] == "x" && input["shape"]?.ints == [10, 1, 64])
    let below = try #require(input["lower"]).results
    let above = try #require(input["upper"]).results
    let constants = (
      below: try #require(linear["lower_constant"]).results,
      above: try #require(linear["upper_constant"]).results
    )
    let center = try OutputBounds(document).center
    let point = try sample()
    for row in 0..<10 {
      var low = constants.below[row]
      var high = constants.above[row]
      for i in 0..<64 {
        low += below[row * 64 + i] * point[i]
        high += above[row * 64 + i] * point[i]
      }
      #expect(low <= center[row] + 1e-9 && center[row] <= high + 1e-9)
    }
  }

  @Test func optionsChangeWhatTheyShould() throws {
    let slopes = try ["adaptive", "zero", "one", "same"].map {
      try OutputBounds(json("bounds", mlp, "0.1", "--method", "crown", "--plain", "--slope", $0)).width
    }
    #expect(Set(slopes).count == 4)
    let plain = try OutputBounds(json("bounds", mlp, "0.1", "--method", "crown", "--plain"))
    let tight = try OutputBounds(json("bounds", mlp, "0.1", "--method", "crown"))
    #expect(tight.width <= plain.width * (1 + 1e-12))
    let real = try OutputBounds(json("bounds", mlp, "0.02", "--method", "crown"))
    let deployed = try OutputBounds(
      json("bounds", mlp, "0.02", "--method", "crown", "--arithmetic", "float32"))
    #expect(deployed.width > real.width && deployed.width < real.width * 1.01)
    let none = try OutputBounds(json("bounds", mlp, "0.1", "--method", "alpha-crown", "--iterations", "0"))
    let some = try OutputBounds(
      json("bounds", mlp, "0.1", "--method", "alpha-crown", "--iterations", "10", "--learning-rate", "0.2"))
    #expect(some.width < none.width)
  }

  @Test func threadsDoNotChangeResults() throws {
    let one = try OutputBounds(json("bounds", mlp, "0.05", "--threads", "1"))
    let four = try OutputBounds(json("bounds", mlp, "0.05", "--threads", "4"))
    #expect(one.lower == four.lower && one.upper == four.upper)
  }

  @Test func compressedFilesAreReadAsTheyAre() throws {
    let folder = try TemporaryFolder()
    let source = SharedData.project.appendingPathComponent(mlp).path
    for (from, to) in [(source, "net.onnx"), (source.replacing(".onnx", with: ".input.json"), "input.json")] {
      try FileManager.default.copyItem(atPath: from, toPath: folder.path(to))
      let gzip = Process()
      gzip.executableURL = URL(fileURLWithPath: "/bin/gzip")
      gzip.arguments = [folder.path(to)]
      try gzip.run()
      gzip.waitUntilExit()
    }
    let packed = try OutputBounds(
      json(
        "bounds", folder.path("net.onnx.gz"), "0.02", "--input", folder.path("input.json.gz"), "--method",
        "ibp"))
    let plain = try OutputBounds(json("bounds", mlp, "0.02", "--method", "ibp"))
    #expect(packed.lower == plain.lower)
  }

  /// The bounds must hold for the decimals that were written, not for the doubles near them.
  @Test func decimalsAreRoundedOutwards() throws {
    let folder = try TemporaryFolder()
    let tenths = "[" + Array(repeating: "0.1", count: 64).joined(separator: ",") + "]"
    let input = try folder.write("tenths.json", tenths)
    let document = try json(
      "bounds", mlp, "0.3", "--input", input, "--method", "ibp", "--intermediate")
    let nodes = try #require(document["nodes"]?.arrayValue)
    let x = try #require(nodes.first { $0["name"] == "x" })
    // 1/10 - 3/10 = -1/5 and 1/10 + 3/10 = 2/5, which are no doubles; the doubles nearest to them are
    // -0.2 (below -1/5) and 0.4 (above 2/5).
    #expect(try #require(x["lower"]).results.allSatisfy { $0 <= -0.2 })
    #expect(try #require(x["upper"]).results.allSatisfy { $0 >= 0.4 })
  }
}
