import Bounds
import Domains
import FileFormats
import Foundation
import IR
import Importers
import Tensors
import TestSupport
import Testing

/// One file of reference bounds: a network, a region, what other tools found.
struct ReferenceCase {
  struct Result {
    var method: String
    var slope: SlopePolicy
    var iterations: Int?
    var lower: [Double]
    var upper: [Double]

    var width: Double { zip(lower, upper).map { $1 - $0 }.reduce(0, +) }
  }

  var graph: Graph
  var region: Region
  var rows: OutputRows?
  var results: [Result]
  var sampledLower: [Double]
  var sampledUpper: [Double]

  /// - Parameter path: relative to the verification folder.
  init(_ path: String) throws {
    let document = try SharedData.json("verification/" + path)
    let network = try #require(document["network"]?.stringValue)
    let full = SharedData.path("verification/" + network)
    graph = try Importer.load(FileManager.default.fileExists(atPath: full) ? full : full + ".gz").graph
    let input = [1] + (try #require(graph.inputNodes.first)).shape
    let set: InputSet
    if let lower = document["box_lower"]?.flattened, let upper = document["box_upper"]?.flattened {
      set = .box(lower: Tensor(input, lower), upper: Tensor(input, upper))
    } else {
      let center = Tensor(input, try #require(document["center"]?.flattened))
      let radius = try #require(document["eps"]?.doubleValue)
      switch document["norm"]?.stringValue {
      case "1"?: set = .ball(center: center, radius: radius, norm: .l1)
      case "2"?: set = .ball(center: center, radius: radius, norm: .l2)
      default: set = Region.infinityBall(center, radius: radius)
      }
    }
    region = Region([set])
    if let matrix = document["C"]?.arrayValue {
      let values = matrix.flatMap { $0.flattened }
      rows = OutputRows(rows: Tensor([matrix.count, values.count / matrix.count], values))
    }
    results = try (document["results"]?.arrayValue ?? []).map { entry in
      let options = entry["options"]
      let slope: SlopePolicy =
        switch options?["relu_lower_slope"]?.stringValue {
        case "zero-lb"?: .zero
        case "one-lb"?: .one
        case "same-slope"?: .same
        default: .adaptive
        }
      return Result(
        method: try #require(entry["method"]?.stringValue), slope: slope,
        iterations: options?["iterations"]?.intValue,
        lower: try #require(entry["lower"]).flattened, upper: try #require(entry["upper"]).flattened)
    }
    sampledLower = (document["sampled_output_min"] ?? document["sampled_min"])?.flattened ?? []
    sampledUpper = (document["sampled_output_max"] ?? document["sampled_max"])?.flattened ?? []
  }

  /// Our name of a reference method.
  static let methods: [String: BoundMethod] = [
    "IBP": .ibp, "forward": .forward, "CROWN-IBP": .crownIBP, "CROWN": .crown,
    "forward+backward": .forwardCrown, "alpha-CROWN": .alphaCrown,
  ]

  func bounds(_ method: BoundMethod, slope: SlopePolicy = .adaptive, isPlain: Bool = false) throws -> Interval
  {
    var options = BoundOptions(method: method)
    options.slope = slope
    options.isPlain = isPlain
    options.threads = 2
    return try graph.bounds(over: region, rows: rows, options).outputs[0]
  }
}

extension JSONValue {
  /// The numbers of nested lists, in order.
  var flattened: [Double] {
    if let number = doubleValue { return [number] }
    return (arrayValue ?? []).flatMap(\.flattened)
  }
}

extension Interval {
  var totalWidth: Double { zip(lower.elements, upper.elements).map { $1 - $0 }.reduce(0, +) }

  /// The largest amount by which the interval sticks out of another one, relative to max(1, |value|).
  func excess(over low: [Double], _ high: [Double]) -> Double {
    var worst = -Double.infinity
    for i in low.indices {
      worst = max(worst, (low[i] - lower[flat: i]) / max(1, abs(low[i])))
      worst = max(worst, (upper[flat: i] - high[i]) / max(1, abs(high[i])))
    }
    return worst
  }

  /// The largest amount by which values stick out of the interval, relative to max(1, |value|).
  func misses(_ low: [Double], _ high: [Double]) -> Double {
    var worst = -Double.infinity
    for i in low.indices {
      worst = max(worst, (lower[flat: i] - low[i]) / max(1, abs(low[i])))
      worst = max(worst, (high[i] - upper[flat: i]) / max(1, abs(high[i])))
    }
    return worst
  }
}
