import Domains
import FileFormats
import Foundation
import IR
import Limits
import OnnxFormat
import Tensors

/// Runs the official ONNX backend node tests, as `Tests/Conformance/write_node_cases.py` writes them to a folder,
/// through importer and engine.
public struct NodeConformance: Sendable {
  /// What became of a case.
  public enum Outcome: Sendable, Equatable {
    case passed
    /// `UnsupportedOperator`: an honest refusal.
    case refused(String)
    /// An answer that is not the expected one.
    case wrong(String)
    /// Any other error: the importer takes a valid model for a malformed one.
    case failed(String)
  }

  /// One case of the index.
  public struct Case: Sendable {
    public var name: String
    public var operatorName: String
    public var outcome: Outcome
    /// The kinds of operation that each operator of the case became.
    public var kinds: [String: Set<String>] = [:]
  }

  /// All cases with their outcomes.
  public struct Report: Sendable {
    public var cases: [Case]

    public func count(_ matches: (Outcome) -> Bool) -> Int { cases.filter { matches($0.outcome) }.count }
    public var passed: Int { count { $0 == .passed } }
    public var refused: Int { count { if case .refused = $0 { true } else { false } } }
    public var wrong: Int { count { if case .wrong = $0 { true } else { false } } }
    public var failed: Int { count { if case .failed = $0 { true } else { false } } }

    /// Passed, refused, wrong and failed cases by operator, in the order of names.
    public var byOperator: [(name: String, passed: Int, refused: Int, wrong: Int, failed: Int)] {
      var table: [String: [Int]] = [:]
      for item in cases {
        let column =
          switch item.outcome {
          case .passed: 0
          case .refused: 1
          case .wrong: 2
          case .failed: 3
          }
        table[item.operatorName, default: [0, 0, 0, 0]][column] += 1
      }
      return table.sorted { $0.key < $1.key }.map {
        ($0.key, $0.value[0], $0.value[1], $0.value[2], $0.value[3])
      }
    }
  }

  private struct Index: Decodable {
    struct Entry: Decodable {
      var name: String
      var `operator`: String
      var inputs: Int
      var outputs: Int
      var rtol: Double
      var atol: Double
    }
    var cases: [Entry]
  }

  /// Runs the cases of a folder whose names pass the filter.
  ///
  /// - Throws: `FileError` when the folder has no readable index; `Stopped` when
  ///   `Cancellation.current` says so. What a case throws is its outcome.
  public static func run(folder: String, where isWanted: (String) -> Bool = { _ in true }) throws -> Report {
    let path = folder + "/index.json"
    let bytes = try Gzip.contents(ofFile: path)
    guard let index = try? JSONDecoder().decode(Index.self, from: Data(bytes)) else {
      throw FileError(file: path, reason: "is no index of conformance cases")
    }
    let cases = try index.cases.filter { isWanted($0.name) }.map { entry -> Case in
      var kinds: [String: Set<String>] = [:]
      let outcome = outcome(folder + "/" + entry.name, entry, &kinds)
      // A case that was stopped failed for no fault of its own.
      try Cancellation.check()
      return Case(name: entry.name, operatorName: entry.operator, outcome: outcome, kinds: kinds)
    }
    return Report(cases: cases)
  }

  private static func outcome(
    _ folder: String, _ entry: Index.Entry, _ kinds: inout [String: Set<String>]
  ) -> Outcome {
    do {
      let file = try OnnxModelFile(path: folder + "/model.onnx")
      let graphInputs = file.model.graph.input
      var options = ImportOptions()
      var values: [String: Tensor<Double>] = [:]
      for number in 0..<entry.inputs {
        let tensor = try OnnxTensor(path: "\(folder)/input_\(number).pb")
        guard OnnxSession.elementType(tensor.type) != nil else {
          return .refused("inputs of type \(tensor.type) are not supported")
        }
        values[graphInputs[number].name] = Tensor(Shape(tensor.shape), OnnxElementTypes.doubles(tensor))
      }
      options.values = values
      let network = try OnnxImporter.build(file, options)
      kinds = network.kindsByOperator
      let inputs = network.graph.inputNodes.map { node -> Tensor<Double> in
        // Every input of the graph is one of the model's, all of which have values.
        let value = values[node.name] ?? .zeros(node.shape)
        return value.reshaped([1] + node.shape)
      }
      let outputs = try network.graph.run(inputs, .deployed)
      for number in 0..<entry.outputs {
        let expected = try OnnxTensor(path: "\(folder)/output_\(number).pb")
        let node = network.graph[network.graph.outputs[number].node]
        if let problem = mismatch(outputs[number], node, expected, entry) {
          return .wrong("output \(number): \(problem)")
        }
      }
      return .passed
    } catch let error as UnsupportedOperator {
      return .refused("\(error)")
    } catch {
      return .failed("\(error)")
    }
  }

  /// What is wrong with an output, nil if nothing is.
  private static func mismatch(_ found: AnyTensor, _ node: Node, _ expected: OnnxTensor, _ entry: Index.Entry)
    -> String?
  {
    guard let type = OnnxSession.elementType(expected.type) else { return "type \(expected.type) expected" }
    if node.elementType != type { return "type \(node.elementType) instead of \(type)" }
    if node.shape.dims != expected.shape { return "shape \(node.shape) instead of \(expected.shape)" }
    // As in the official runner: two units in the last place of bfloat16.
    let relative = type == .bfloat16 ? max(entry.rtol, 0x1p-6) : entry.rtol
    let reference = OnnxElementTypes.doubles(expected)
    let values = found.float64.elements
    for (index, (a, b)) in zip(values, reference).enumerated() {
      if a == b || (a.isNaN && b.isNaN) { continue }
      let tolerance = type.isFloatingPoint ? entry.atol + relative * b.magnitude : 0
      if !((a - b).magnitude <= tolerance) { return "element \(index) is \(a) instead of \(b)" }
    }
    return nil
  }
}
