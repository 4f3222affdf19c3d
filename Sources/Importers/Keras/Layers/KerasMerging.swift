import IR
import Operators
import Tensors

// Layers of several inputs, and operators on tensors.
extension KerasLayers {
  static let merging: [String: Lower] = [
    "Add": { call in [try merged(call) { try $1.sum($0) }] },
    "Subtract": { call in
      guard call.inputs.count == 2 else { throw call.config.unsupported("needs two inputs") }
      return [try merged(call) { try $1.sub($0[0], $0[1]) }]
    },
    "Multiply": { call in
      [try merged(call) { values, l in try values.dropFirst().reduce(values[0]) { try l.mul($0, $1) } }]
    },
    "Average": { call in
      [
        try merged(call) { values, l in
          try l.div(try l.sum(values), Value(scalar: Double(values.count), .float32))
        }
      ]
    },
    "Maximum": { call in [try merged(call) { try $1.extremum(.maximum, $0) }] },
    "Minimum": { call in [try merged(call) { try $1.extremum(.minimum, $0) }] },
    "Concatenate": { call in [try concatenated(call)] },
    "Divide": { call in [try binary(call) { try $2.div($0, $1) }] },
    "TrueDivide": { call in [try binary(call) { try $2.div($0, $1) }] },
  ]

  /// `x + y` and its kin, where numbers may stand for tensors.
  static let operators: [String: Lower] = [
    "Add": { call in [try binary(call) { try $2.add($0, $1) }] },
    "Subtract": { call in [try binary(call) { try $2.sub($0, $1) }] },
    "Multiply": { call in [try binary(call) { try $2.mul($0, $1) }] },
    "Divide": { call in [try binary(call) { try $2.div($0, $1) }] },
    "TrueDivide": { call in [try binary(call) { try $2.div($0, $1) }] },
    "Maximum": { call in [try binary(call) { try $2.extremum(.maximum, [$0, $1]) }] },
    "Minimum": { call in [try binary(call) { try $2.extremum(.minimum, [$0, $1]) }] },
  ]

  /// The inputs of one rank, laid out alike.
  private static func alike(_ call: KerasCall) throws -> (values: [Value], isTransposed: Bool) {
    let inputs = try call.all(minimum: 2)
    if inputs.allSatisfy({ $0.isTransposed || $0.value.rank == 0 }) { return (inputs.map(\.value), true) }
    return (try inputs.map { try call.session.plain($0) }, false)
  }

  private static func merged(_ call: KerasCall, _ body: ([Value], Lowering) throws -> Value) throws
    -> KerasValue
  {
    let (values, isTransposed) = try alike(call)
    // Files without the modules of their classes hold `x + 1` as a layer Add of a tensor and a number.
    guard Set(values.filter { !$0.isKnown }.map(\.rank)).count == 1 else {
      throw call.config.unsupported(
        "inputs of shapes \(values.map(\.shape.description).joined(separator: ", ")) are not supported")
    }
    return call.named(KerasValue(try body(values, call.l), isTransposed: isTransposed))
  }

  private static func binary(_ call: KerasCall, _ body: (Value, Value, Lowering) throws -> Value) throws
    -> KerasValue
  {
    guard call.inputs.count == 2 else { throw call.config.unsupported("needs two arguments") }
    let values = try call.all().map { try call.session.plain($0) }
    return call.named(KerasValue(try body(values[0], values[1], call.l)))
  }

  private static func concatenated(_ call: KerasCall) throws -> KerasValue {
    let (values, isTransposed) = try alike(call)
    let rank = values[0].rank
    guard values.allSatisfy({ $0.rank == rank }) else {
      throw call.config.unsupported("inputs of different ranks cannot be joined")
    }
    let axes = try call.config.axes("axis", rank: rank, default: [rank - 1])
    guard axes.count == 1, axes[0] > 0 else {
      throw call.config.unsupported("inputs are joined along one axis behind the batch", member: "axis")
    }
    let like = KerasValue(values[0], isTransposed: isTransposed)
    let y = try call.l.concat(values, axis: like.axis(axes[0]))
    return call.named(KerasValue(y, isTransposed: isTransposed))
  }
}
