import IR

/// The types of operands that the ONNX standard allows an operator to have.
struct OnnxTypeConstraints {
  /// By input: a type variable, a set of types, or nothing.
  private enum Input {
    case variable(Int)
    case types(UInt16)
    case anything
  }

  private var inputs: [Input] = []
  /// Whether the last input stands for all that follow.
  private var isVariadic = false
  /// The types that each variable may stand for.
  private var variables: [UInt16] = []

  /// The constraints of an operator as of a version of its domain; nil for operators that the standard does not have.
  static func of(_ op: String, domain: String, version: Int) -> OnnxTypeConstraints? {
    let name = domain.isEmpty ? op : "\(domain)::\(op)"
    return table[name]?.last { $0.since <= version }?.constraints
  }

  /// Refuses operands of other types, and of different types where the operator takes one for all of them.
  ///
  /// - Throws: `FileError`.
  func check(_ node: OnnxNode) throws {
    var meaning = [ElementType?](repeating: nil, count: variables.count)
    for (index, value) in node.inputs.enumerated() {
      guard let value, let input = index < inputs.count ? inputs[index] : isVariadic ? inputs.last : nil
      else { continue }
      let own: UInt16
      switch value.content {
      case .constant, .node: own = Self.bit(value.type)
      case .text: own = Self.textBit
      case .sequence, .nothing: continue
      }
      let allowed: UInt16
      switch input {
      case .anything: continue
      case .types(let types): allowed = types
      case .variable(let variable):
        allowed = variables[variable]
        if let first = meaning[variable], own != Self.textBit, first != value.type {
          throw node.malformed(
            "its operands have the types \(first.rawValue) and \(value.type.rawValue), which must be the same"
          )
        }
        meaning[variable] = value.type
      }
      // Exporters write bfloat16 wherever the standard lists float16, also at opsets that did not list it yet.
      let halves = allowed & Self.bit(.float16) != 0 ? Self.bit(.bfloat16) : 0
      if (allowed | halves) & own == 0 {
        let type = own == Self.textBit ? "string" : value.type.rawValue
        throw node.malformed("takes no \(type) as input \(index)")
      }
    }
  }

  private static let textBit = UInt16(1) << UInt16(ElementType.allCases.count)

  private static func bit(_ type: ElementType) -> UInt16 {
    UInt16(1) << UInt16(ElementType.allCases.firstIndex(of: type) ?? ElementType.allCases.count)
  }

  // MARK: The table

  private static let table: [String: [(since: Int, constraints: OnnxTypeConstraints)]] = {
    var table: [String: [(since: Int, constraints: OnnxTypeConstraints)]] = [:]
    for row in rows.split(separator: "\n") {
      let fields = row.split(separator: " ")
      guard fields.count >= 3, let since = Int(fields[1]) else { continue }
      table[String(fields[0]), default: []].append((since, OnnxTypeConstraints(fields[2], fields[3...])))
    }
    return table
  }()

  /// Reads a row's inputs (`T,T`) and variables (`T=7`).
  private init(_ inputs: Substring, _ variables: ArraySlice<Substring>) {
    var numbers: [Substring: Int] = [:]
    for variable in variables {
      let sides = variable.split(separator: "=")
      guard sides.count == 2, let types = UInt16(sides[1], radix: 16) else { continue }
      numbers[sides[0]] = self.variables.count
      self.variables.append(types)
    }
    for field in inputs.split(separator: ",") {
      var name = field
      if name.hasSuffix("*") {
        isVariadic = true
        name.removeLast()
      }
      if let number = numbers[name] {
        self.inputs.append(.variable(number))
      } else if let types = UInt16(name, radix: 16) {
        self.inputs.append(.types(types))
      } else {
        self.inputs.append(.anything)
      }
    }
  }
}
