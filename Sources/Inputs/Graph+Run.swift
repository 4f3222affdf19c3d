import Domains
import IR
import Tensors

extension Graph {
  /// The outputs at the given inputs, batch axis leading.
  ///
  /// - Throws: `GraphError`, for instance for an index out of range.
  public func run(_ inputs: NetworkInputs, _ precision: ConcreteDomain.Precision = .deployed) throws
    -> [AnyTensor]
  {
    var domain = ConcreteDomain(precision)
    return try interpret(inputs.tensors(for: self), in: &domain).outputs
  }
}
