"""Values of the enumerations, as an OMERO database holds them after installation."""

from __future__ import annotations

from .permissions import PRIVILEGES
from .store import Store

_WORDS = {
    "AcquisitionMode": "BrightField;FSM;FluorescenceCorrelationSpectroscopy;FluorescenceLifetime;"
    "LCM;LaserScanningConfocalMicroscopy;LaserScanningMicroscopy;MultiPhotonMicroscopy;NearFieldScanningOpticalMicroscopy;"
    "Other;PALM;SPIM;STED;STORM;SecondHarmonicGenerationImaging;SingleMoleculeImaging;SlitScanConfocal;"
    "SpectralImaging;SpinningDiskConfocal;StructuredIllumination;SweptFieldConfocal;TIRF;"
    "TotalInternalReflection;Unknown;WideField",
    "AdminPrivilege": ";".join(PRIVILEGES),
    "ArcType": "Hg;HgXe;Other;Unknown;Xe",
    "Binning": "1x1;2x2;4x4;8x8;Other;Unknown",
    "ChecksumAlgorithm": "Adler-32;CRC-32;File-Size-64;MD5-128;Murmur3-128;Murmur3-32;SHA1-160",
    "ContrastMethod": "Brightfield;DIC;Darkfield;Fluorescence;HoffmanModulation;ObliqueIllumination;Other;Phase;"
    "PolarizedLight;Unknown",
    "Correction": "Achro;Achromat;Apo;Fl;Fluar;Fluor;Fluotar;Neofluar;Other;PlanApo;PlanFluor;PlanNeofluar;"
    "SuperFluor;UV;Unknown;VioletCorrected",
    "DetectorType": "APD;Analog-Video;CCD;CMOS;Correlation-Spectroscopy;EBCCD;EM-CCD;FTIR;Intensified-CCD;"
    "Life-time-Imaging;Other;PMT;Photodiode;Spectroscopy;Unknown",
    "DimensionOrder": "XYCTZ;XYCZT;XYTCZ;XYTZC;XYZCT;XYZTC",
    "EventType": "Bootstrap;FullText;Import;Internal;Load Script;Processing;Sessions;Shell;System;Task;Test;User",
    "ExperimentType": "Colocalization;Electrophysiology;FP;FRAP;FRET;FourDPlus;Immunocytochemistry;"
    "Immunofluorescence;IonImaging;Other;PGIDocumentation;Photobleaching;Screen;SpectralImaging;TimeLapse;Unknown",
    "Family": "exponential;linear;logarithmic;polynomial",
    "FilamentType": "Halogen;Incandescent;Other;Unknown",
    "FilterType": "BandPass;Dichroic;LongPass;MultiPass;NeutralDensity;Other;ShortPass;Tuneable;Unknown",
    "Format": "AVI;BMP;CellH5;CellWorx;Companion/OME-XML;DICOM;Deltavision;Directory;FV1000;Fake;Flex;GIF;ICS;"
    "ImageXpress/MetaXpress;InCell1000;InCell2000;JPEG;JPEG2000;Leica;LeicaLIF;MIAS;MRC;MetamorphTiff;"
    "ND2;OMETiff;OMEXML;OMEZarr;OperaFlex;PNG;Repository;Scanr;SlidebookTiff;TIFF;TiffDelegate;VSI;"
    "ZeissCZI;ZeissLSM;ZeissZVI;application/octet-stream;text/csv;text/plain;text/x-python",
    "Illumination": "Epifluorescence;NonLinear;Oblique;Other;Reflected;Transmitted;Unknown",
    "Immersion": "Air;Glycerol;Gly;Multi;Oil;Other;Unknown;Water;WaterDipping;Wl",
    "JobStatus": "Cancelled;Error;Finished;Resubmitted;Running;Submitted;Waiting",
    "LaserMedium": "Ag;Alexandrite;Ar;ArCl;ArFl;CO;CO2;CoumarinC30;Cu;EMinus;ErGlass;ErYAG;GaAlAs;GaAs;H2O;HFl;HeCd;"
    "HeNe;HoYAG;HoYLF;Kr;KrCl;KrFl;N;NdGlass;NdYAG;Other;Rhodamine6G;Ruby;TiSapphire;Unknown;Xe;XeBr;XeCl;XeFl",
    "LaserType": "Dye;Excimer;FreeElectron;Gas;MetalVapor;Other;SolidState;Semiconductor;Unknown",
    "Medium": "Air;Glycerol;Oil;Other;Unknown;Water",
    "MicrobeamManipulationType": "FLIP;FRAP;InverseFRAP;OpticalTrapping;Other;Photoablation;Photoactivation;Uncaging;"
    "Unknown",
    "MicroscopeType": "Electrophysiology;Inverted;Other;Unknown;Upright",
    "PhotometricInterpretation": "CMYK;ColorMap;HSV;Monochrome;RGB",
    "ProjectionAxis": "modulo-T;modulo-Z;t;z",
    "ProjectionType": "maximum;mean;sum",
    "Pulse": "CW;ModeLocked;Other;QSwitched;Repetitive;Single;Unknown",
    "RenderingModel": "greyscale;rgb",
}
# Bits of one sample.
PIXELS_TYPES = {
    "bit": 1,
    "int8": 8,
    "int16": 16,
    "int32": 32,
    "uint8": 8,
    "uint16": 16,
    "uint32": 32,
    "float": 32,
    "double": 64,
    "complex": 64,
    "double-complex": 128,
}


def install(store: Store) -> None:
    """Fill the enumeration tables of an empty store."""
    for name, words in _WORDS.items():
        for value in words.split(";"):
            store.add(name, {"value": value})
    for value, bits in PIXELS_TYPES.items():
        store.add("PixelsType", {"value": value, "bitSize": bits})
