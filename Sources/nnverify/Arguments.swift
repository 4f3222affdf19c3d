import ArgumentParser
import Bounds
import Domains
import IR
import Inputs
import Tensors

extension BoundMethod: ExpressibleByArgument {}
extension SlopePolicy: ExpressibleByArgument {}
extension Arithmetic: ExpressibleByArgument {}
extension PerturbationNorm: ExpressibleByArgument {}

/// A list of names, separated by commas.
struct NameList: ExpressibleByArgument {
  var names: [String]

  init?(argument: String) {
    names = argument.split(separator: ",", omittingEmptySubsequences: false).map(String.init)
    if names.contains(where: \.isEmpty) { return nil }
  }
}

/// The shape of one input: `x=1,3,64,64`.
struct InputShape: ExpressibleByArgument {
  var name: String
  var shape: Shape

  init?(argument: String) {
    // Names may hold anything, extents do not hold an equals sign.
    guard let split = argument.lastIndex(of: "="), split > argument.startIndex else { return nil }
    name = String(argument[..<split])
    let text = argument[argument.index(after: split)...]
    let extents = text.split(separator: ",", omittingEmptySubsequences: false).map { Int($0) }
    let dims = extents.compactMap { $0 }
    guard text.isEmpty || dims.count == extents.count,
      dims.allSatisfy({ $0 >= 0 && $0 <= Int(Int32.max) })
    else { return nil }
    shape = Shape(dims)
  }

  static func shapes(_ list: [InputShape]) throws -> [String: Shape] {
    var shapes: [String: Shape] = [:]
    for entry in list where shapes.updateValue(entry.shape, forKey: entry.name) != nil {
      throw ValidationError("--shape: input '\(entry.name)' is given two shapes")
    }
    return shapes
  }
}

/// The perturbation size: a decimal or a quotient such as 2/255, of at least 0.
struct Radius: ExpressibleByArgument {
  /// As it was written.
  var text: String
  var number: DecimalNumber

  init?(argument: String) {
    guard let number = DecimalNumber(argument), number.lower >= 0 else { return nil }
    text = argument
    self.number = number
  }
}

/// Checks that many commands share.
enum Check {
  static let threads = 1...1024

  static func positive(_ value: Int?, _ option: String, limit: Int = Int(Int32.max)) throws {
    guard let value else { return }
    guard value >= 1, value <= limit else {
      throw ValidationError("\(option) must lie between 1 and \(limit)")
    }
  }
}
