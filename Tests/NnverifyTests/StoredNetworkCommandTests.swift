import FileFormats
import Foundation
import TestSupport
import Testing

/// `run`, `bounds`, `verify`, `smt` and `check` speak of the same function. The right values are those of the folders of
/// `../shared/field` (exact rationals, onnxruntime).
@Suite(
  "Commands agree on the stored network",
  .enabled(if: SharedData.isPresent, Comment(rawValue: SharedData.comment)))
struct StoredNetworkCommandTests {
  private func path(_ file: String) -> String { SharedData.path("field/" + file) }

  /// By network: input, the exact values as far as Float64 holds them, and how far off bounds may be.
  static let values: [(network: String, input: String, right: [Double], width: Double)] = [
    ("a01-gemm-beta-dropped/m.onnx", "a01-gemm-beta-dropped/x.json", [100], 1e-9),
    ("a02-sum-of-constants/m.onnx", "a02-sum-of-constants/x.json", [1], 40),
    ("a02-sum-of-constants/mean.onnx", "a02-sum-of-constants/x.json", [0.02500000037252903], 1e-6),
    (
      "a03-resize-nearest-wrong-element/m.onnx", "a03-resize-nearest-wrong-element/x.json",
      [0, 0, 1, 2, 3, 3, 4, 5, 6], 1e-12
    ),
    ("a04-fusion-tolerance/hswish64.onnx", "a04-fusion-tolerance/x.json", [2.99999970000003], 1e-12),
    ("a04-fusion-tolerance/hswish32.onnx", "a04-fusion-tolerance/x.json", [3.000000238418598], 1e-12),
    (
      "a05-import-tables-without-error/gridsample.onnx", "a05-import-tables-without-error/gs.json",
      [0.999999983775159], 1e-12
    ),
  ]

  @Test(arguments: values.indices) func runAndBounds(index: Int) throws {
    let (network, input, right, width) = Self.values[index]
    for method in ["ibp", "crown", "best"] {
      let bounds = try OutputBounds(
        json("bounds", path(network), "0", "--input", path(input), "--method", method))
      #expect(bounds.lower.count == right.count, "\(network)")
      for i in right.indices {
        // The right values are themselves rounded to a Float64.
        #expect(
          bounds.lower[i] <= right[i].nextUp && right[i].nextDown <= bounds.upper[i],
          "\(network) \(method) \(i)")
        #expect(bounds.upper[i] - bounds.lower[i] <= width, "\(network) \(method) \(i)")
      }
    }
    let run = try json("run", path(network), "--input", path(input), "--precision", "float64")
    let values = try #require(run["outputs"]?[0]?["values"]).results
    // The run takes the decimals of the input as float64, the right values those of the float32 input.
    for (own, exact) in zip(values, right) {
      #expect((own - exact).magnitude <= max(width, 1e-7 * exact.magnitude), "\(network)")
    }
  }

  @Test func aPlaceThatIsAnIntegerHasNoNeighbour() throws {
    let folder = "a03-resize-nearest-wrong-element/"
    let bounds = try OutputBounds(
      json(
        "bounds", path(folder + "lin.onnx"), "0", "--input", path(folder + "lin.json"), "--method", "crown"))
    #expect(bounds.lower[4] <= 1 && bounds.upper[4] >= 1 && bounds.upper[4] - bounds.lower[4] < 1e-12)
  }

  @Test(arguments: [
    ("a01-gemm-beta-dropped", "m.onnx", "region.json"), ("d01-gemm-beta", "gemm.onnx", "r.json"),
  ])
  func scaledBias(folder: String, network: String, region: String) throws {
    let query = path(folder + "/q.vnnlib")
    let verdict = try nnverify("verify", query, "--network", path(folder + "/" + network))
    #expect(verdict.output.hasPrefix("sat"), "\(verdict.output)")
    let smt = try nnverify("smt", path(folder + "/" + region), "--json")
    #expect(!smt.output.contains("\"holds\""), "\(smt.output)")
    let check = try nnverify(
      "check", "--proof", path(folder + "/p.proof"), "--region", path(folder + "/" + region))
    #expect(!check.output.contains("\"valid\":true"), "\(check.output)")
    let crash = folder.hasPrefix("a01") ? "crash.onnx" : "crash_bias_shape.onnx"
    let bounds = try nnverify("bounds", path(folder + "/" + crash), "0.01", "--json", "--method", "ibp")
    #expect(bounds.status <= 3 && !bounds.errors.contains("crash"), "\(bounds.errors)")
  }

  @Test func sumsOfConstantsAreNotRefuted() throws {
    let verdict = try nnverify(
      "verify", path("a02-sum-of-constants/q.vnnlib"), "--network", path("a02-sum-of-constants/m.onnx"),
      "--timeout", "20")
    #expect(!verdict.output.hasPrefix("unsat"), "\(verdict.output)")
  }

  @Test func wrappedIntegers() throws {
    let folder = "d02-int-wrap/"
    let verdict = try nnverify(
      "verify", path(folder + "u8.vnnlib"), "--network", path(folder + "Mul_u8.onnx"), "--timeout", "20")
    #expect(!verdict.output.hasPrefix("unsat"), "\(verdict.output)")
    // 3 * 100 and 7 * 100 in eight bits.
    let bounds = try OutputBounds(
      json("bounds", path(folder + "Mul_u8.onnx"), "0.1", "--input", path(folder + "in.json")))
    #expect(
      bounds.lower[0] <= 44 && 44 <= bounds.upper[0] && bounds.lower[1] <= 188 && 188 <= bounds.upper[1])
  }

  @Test func fixedIntegers() throws {
    let folder = "r08-fixed-integer-quotient/"
    for (network, right) in [
      ("net.onnx", [8.0]), ("mask.onnx", [1, 1, 1, 1, 1, 1, 1, 1, 0, 0]),
    ] {
      for method in ["ibp", "crown", "best"] {
        let bounds = try OutputBounds(
          json(
            "bounds", path(folder + network), "0.01", "--input", path(folder + "input.json"), "--method",
            method))
        for i in right.indices {
          #expect(bounds.lower[i] <= right[i] && right[i] <= bounds.upper[i], "\(network) \(method)")
          if method == "ibp" { #expect(bounds.upper[i] - bounds.lower[i] <= 0.0201, "\(network)") }
        }
      }
    }
  }

  @Test func infiniteWeightsEndClearly() throws {
    let result = try nnverify(
      "verify", path("d07-inf-weight/q.vnnlib"), "--network", path("d07-inf-weight/inf.onnx"), "--timeout",
      "10")
    #expect(result.status <= 4 && !result.errors.contains("crash"), "\(result.errors)")
    #expect(!result.output.hasPrefix("unsat"))
  }

  @Test(arguments: ["Add_cx_i32.onnx", "Div_cx_u16.onnx"]) func operandTypes(file: String) throws {
    let folder = "d27-type-constraints/"
    for arguments in [["bounds", path(folder + file), "0.01"], ["run", path(folder + file)]] {
      let result = try nnverify.run(arguments + ["--input", path(folder + "in.json")])
      #expect(result.status == 2 && result.errors.contains("types"), "\(result.errors)")
    }
  }
}
