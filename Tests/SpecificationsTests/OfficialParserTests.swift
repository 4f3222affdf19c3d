import FileFormats
import Foundation
import Specifications
import TestSupport
import Testing

/// Compares the VNN-LIB 2.0 parser with the official one (PyPI `vnnlib` 1.0.2) through
/// `official_parser.py`.
@Suite struct OfficialParserTests {
  struct Judgement: Decodable {
    var name: String
    var text: String
    var accepted: Bool
    var message: String?
    var tensors: [[Field]]?
    var clauses: Int?
    var networks: [String]?
  }

  /// A tensor's name, kind and type are texts, its shape is a list of numbers.
  enum Field: Decodable, Equatable {
    case text(String)
    case shape([Int])

    init(from decoder: Decoder) throws {
      let container = try decoder.singleValueContainer()
      if let text = try? container.decode(String.self) {
        self = .text(text)
      } else {
        self = .shape(try container.decode([Int].self))
      }
    }
  }

  static let shared = SharedData.root.path
  static let python: String? = {
    let check = try? run(["python3", "-c", "import vnnlib; print(vnnlib.__version__)"])
    return check == nil ? nil : "python3"
  }()

  static func run(_ arguments: [String]) throws -> Data {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    process.arguments = arguments
    let output = Pipe()
    process.standardOutput = output
    process.standardError = FileHandle.nullDevice
    try process.run()
    let data = output.fileHandleForReading.readDataToEndOfFile()
    process.waitUntilExit()
    guard process.terminationStatus == 0 else { throw CocoaError(.executableLoad) }
    return data
  }

  static func judgements(seed: Int, count: Int) throws -> [Judgement] {
    let script = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
      .appendingPathComponent("official_parser.py").path
    let folder = shared + "/verification/vnnlib2"
    let files = ((try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? [])
      .filter { $0.hasSuffix(".vnnlib") }.sorted().map { folder + "/" + $0 }
    let data = try run(["python3", script, String(seed), String(count)] + files)
    return try data.split(separator: 10).map { try JSONDecoder().decode(Judgement.self, from: $0) }
  }

  /// The names that the official parser's Python types have here.
  static let typeNames = [
    "Real": "real", "F16": "float16", "F32": "float32", "F64": "float64", "BF16": "bfloat16", "I8": "int8",
    "I16": "int16", "I32": "int32", "I64": "int64", "U8": "uint8", "U16": "uint16", "U32": "uint32",
    "U64": "uint64", "Bool": "bool",
  ]

  /// Clauses as the official parser counts them: it leaves `!=` as it is.
  static func clauses(_ formula: Formula) -> Int {
    switch formula {
    case .comparison: return 1
    case .any(let parts): return parts.map(clauses).reduce(0, +)
    case .all(let parts): return parts.map(clauses).reduce(1) { min($0 * $1, 1 << 40) }
    }
  }

  @Test(
    .enabled(
      if: python != nil, "python3 with the package vnnlib is not installed: pip install vnnlib==1.0.2"))
  func agreesWithTheOfficialParser() throws {
    let judgements = try Self.judgements(seed: 20260, count: 600)
    var accepted = 0
    var refused = 0
    for judgement in judgements {
      // Integer literals for numbers of a floating-point type are accepted here and refused there, as are
      // integers of more than 64 bits (the official parser stops in std::stoll).
      let message = judgement.message ?? ""
      let isIntegerLiteral = message.contains("IntConstant") || message == "stoll"
      do {
        let query = try Query(text: judgement.text, file: judgement.name)
        #expect(
          judgement.accepted || isIntegerLiteral,
          "\(judgement.name) is accepted, but: \(judgement.message ?? "")\n\(judgement.text)")
        guard judgement.accepted else { continue }
        accepted += 1
        let tensors = query.tensors.map { tensor -> [Field] in
          [
            .text(tensor.name), .text(tensor.kind.rawValue), .text(tensor.type.description),
            .shape(tensor.shape),
          ]
        }
        let expected = (judgement.tensors ?? []).map { tensor -> [Field] in
          var tensor = tensor
          if case .text(let type) = tensor[2] { tensor[2] = .text(Self.typeNames[type] ?? type) }
          return tensor
        }
        #expect(tensors == expected, "\(judgement.text)")
        #expect(query.networks.map(\.name) == judgement.networks)
        if let clauses = judgement.clauses, clauses < 1_000_000, case .all(let assertions) = query.formula {
          #expect(assertions.map(Self.clauses).reduce(1, *) == clauses, "\(judgement.text)")
        }
      } catch let error as FileError {
        refused += 1
        #expect(error.place?.hasPrefix("line ") == true)
        // Stricter than the official parser on purpose; see the documentation of Query.init(contentsOf:).
        let isStricter =
          error.reason.contains("found '-") || error.reason.contains("found '.")
          || error.reason.contains("is declared twice")
        #expect(
          !judgement.accepted || isStricter, "\(judgement.name) is refused: \(error)\n\(judgement.text)")
      }
    }
    #expect(accepted > 300)
    #expect(refused > 150)
  }
}
