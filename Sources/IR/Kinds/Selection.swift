import Tensors

/// The maximum or minimum over candidates: Max, Min, MaxPool, ReduceMax, ReduceMin, segment maxima.
public struct Selection: Sendable {
  public enum Extremum: Sendable, Hashable { case maximum, minimum }
  public var extremum: Extremum
  public var inputShapes: [Shape]
  public var outputShape: Shape
  /// The largest number of candidates of one output.
  public var width: Int
  /// `outputShape.count * width` flat indices into the concatenation of the flattened inputs; unused places hold -1
  /// and come last. Every output has at least one candidate.
  public var candidates: [Int32]

  public init(
    _ extremum: Extremum, inputShapes: [Shape], outputShape: Shape, width: Int, candidates: [Int32]
  ) {
    self.extremum = extremum
    self.inputShapes = inputShapes
    self.outputShape = outputShape
    self.width = width
    self.candidates = candidates
  }

  /// Offsets of each input in the concatenation.
  public var offsets: [Int] {
    var result = [0]
    for shape in inputShapes { result.append(result[result.count - 1] + shape.count) }
    return result
  }
}
