import FileFormats
import Foundation
import Rigor

/// The outcome of a layer-wise run, with precisely the claim that it carries.
public enum LayerwiseOutcome: String, Sendable {
  /// A reachable input is classified differently; checked exactly and in float32.
  case unsafe
  /// The whole continuous region keeps its class: every lattice cell is certified.
  case safeRegion = "safe_region"
  /// Every lattice point keeps its class or cannot be reached. A discrete claim only.
  case safeWithRespectToManipulations = "safe_wrt_manipulations"
  /// The budget of points, features or time ended. Claims nothing.
  case exhaustedBudget = "exhausted_budget"
  /// Part of the search was incomplete (layer-wise inverse, incomplete refinement). Claims nothing.
  case heuristic
}

/// What a layer-wise run found.
public struct LayerwiseResult: Sendable {
  public var outcome: LayerwiseOutcome
  /// The layer that was checked.
  public var layer: Int
  /// All features that were manipulated at the layer, in order.
  public var features: [[Int]] = []
  public var latticePoints = 0
  public var misclassifiedPoints = 0
  /// Lattice points of inner layers that no input of the region reaches.
  public var unreachablePoints = 0
  /// Distances in the layer from its activation to the nearest misclassified lattice point.
  public var nearestL1: Rational?
  /// The square of the L2 distance, which is rational.
  public var nearestL2Squared: Rational?
  /// The steps to that point.
  public var nearestSteps: [Int]?
  public var nearestClass: Int?
  public var label: Int
  public var witness: Witness?
  public var witnessClass: Int?
  /// The smallest label-minus-best-other output over the lattice.
  public var smallestMargin = Double.infinity
  /// Cells of the lattice, and how many were certified.
  public var cells: Int?
  public var certifiedCells: Int?
  /// A violation that lies between lattice points, found while certifying.
  public var betweenLatticePoints: [Rational]?
  public var reason: String?
  /// Lattice points a second.
  public var rate: Double?
  /// The original input, for pictures.
  public var original: [Rational] = []
  /// The region of the input that was manipulated.
  public var region: RegionRecord.Box?
  /// The lattice in the input that a picture can show: coordinates and classes.
  var grid: [(point: [Double], isMisclassified: Bool)] = []

  func add(to object: inout JSONObject) {
    object["layer"] = JSONValue(layer)
    object["label"] = JSONValue(label)
    object["features"] = .array(features.map { JSONValue($0) })
    object["lattice_points"] = JSONValue(latticePoints)
    object["misclassified_points"] = JSONValue(misclassifiedPoints)
    object["unreachable_points"] = JSONValue(unreachablePoints)
    object["nearest_l1"] = nearestL1.map { JSONValue($0.nearestDouble) } ?? .null
    object["nearest_l2"] = nearestL2Squared.map { JSONValue($0.nearestDouble.squareRoot()) } ?? .null
    if let nearestSteps { object["nearest_l2_steps"] = JSONValue(nearestSteps) }
    if let nearestClass { object["nearest_l2_class"] = JSONValue(nearestClass) }
    if let witnessClass { object["witness_class"] = JSONValue(witnessClass) }
    object["min_margin"] = JSONValue(smallestMargin)
    if let betweenLatticePoints {
      object["violation_between_lattice_points"] = JSONValue(betweenLatticePoints.map(\.description))
    }
  }

  func addStatistics(to object: inout JSONObject) {
    if let cells { object["cells"] = JSONValue(cells) }
    if let certifiedCells { object["certified_cells"] = JSONValue(certifiedCells) }
    if let rate { object["points_per_second"] = JSONValue(rate) }
  }
}

/// What a layer-wise run does.
public struct LayerwiseOptions: Sendable {
  /// The layer to check; 0 is the input.
  public var layer = 0
  /// The size of a step and how many are taken to either side.
  public var span: Rational?
  public var steps: Int?
  /// How many features, and how many coordinates each has, when the record names no coordinates.
  public var features = 1
  public var featureDimensions = 5
  public var heuristic = FeatureHeuristic.activation
  /// How many activations are kept after each feature; 1 is single-path search.
  public var paths = 1
  public var ordersByL2 = true
  /// Whether unreachable points are decided over the whole prefix (sound) or layer by layer.
  public var inverseIsExact = true
  /// Whether all layers up to the last are checked in turn.
  public var isStepwise = false
  /// The most lattice points that a run evaluates.
  public var pointLimit = 2_000_000
  public var deadline: ContinuousClock.Instant?
  /// Where to run Z3 when a hard deadline matters; nil to run it in this process.
  public var isolated: Z3Process?
  public var seed: UInt64 = 0
  /// Whether to try to certify the cells of a lattice without misclassified points.
  public var certifies = true
  /// Keep the points of two-dimensional lattices for a picture.
  public var keepsGrid = false

  public init() {}
}
