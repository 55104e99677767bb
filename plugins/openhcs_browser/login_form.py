"""The form to log in with."""

from __future__ import annotations

from qtpy.QtCore import QSettings, Qt, Signal
from qtpy.QtWidgets import QFormLayout, QFrame, QLabel, QLineEdit, QPushButton, QSpinBox, QVBoxLayout, QWidget

PORT = 4064


class LoginForm(QWidget):
    """Server, port, user and password. Of these, all but the password are remembered for the next time.

    Parameters
    ----------
    server, user : str
    port : int
        0 for the last one.
    """

    submitted = Signal(str, int, str, str)
    """Server, port, user, password."""

    def __init__(self, server: str = "", port: int = 0, user: str = "", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        last = _settings()
        self.server = QLineEdit(server or str(last.value("server", "") or ""))
        self.server.setPlaceholderText("omero.example.org")
        self.port = QSpinBox(minimum=1, maximum=65535)
        self.port.setValue(port or int(last.value("port", PORT) or PORT))
        self.port.setButtonSymbols(QSpinBox.ButtonSymbols.NoButtons)
        self.user = QLineEdit(user or str(last.value("user", "") or ""))
        self.password = QLineEdit()
        self.password.setEchoMode(QLineEdit.EchoMode.Password)
        self.button = QPushButton("Log in")
        self.button.setDefault(True)
        self.message = QLabel()
        self.message.setWordWrap(True)
        self.message.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.message.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)

        title = QLabel("Log in to OMERO")
        font = title.font()
        font.setPointSizeF(font.pointSizeF() * 1.4)
        title.setFont(font)
        box = QFrame()
        box.setFrameShape(QFrame.Shape.StyledPanel)
        box.setMinimumWidth(260)
        box.setMaximumWidth(400)
        form = QFormLayout(box)
        form.setContentsMargins(20, 20, 20, 20)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.addRow(title)
        for label, field in (
            ("&Server", self.server),
            ("&Port", self.port),
            ("&User", self.user),
            ("Pass&word", self.password),
        ):
            form.addRow(label, field)
        form.addRow(self.button)
        layout = QVBoxLayout(self)
        layout.addStretch(2)
        layout.addWidget(box, 0, Qt.AlignmentFlag.AlignHCenter)
        layout.addWidget(self.message)
        layout.addStretch(3)

        self.button.clicked.connect(self._submit)
        for line in (self.server, self.user, self.password):
            line.returnPressed.connect(self._submit)

    def say(self, text: str, problem: bool = True) -> None:
        """Show a message below the form; with a problem, the form can be used again."""
        self.message.setStyleSheet("color: #c62828" if problem else "")
        self.message.setText(text)
        self.set_busy(not problem)

    def set_busy(self, busy: bool) -> None:
        """Whether a log-in is on its way."""
        for field in (self.server, self.port, self.user, self.password, self.button):
            field.setEnabled(not busy)
        if not busy:
            self.focus()

    def focus(self) -> None:
        """Put the cursor where something is missing."""
        empty = next((field for field in (self.server, self.user) if not field.text()), self.password)
        empty.setFocus()

    def remember(self) -> None:
        """Server, port and user were right."""
        last = _settings()
        for name, value in (("server", self.server.text()), ("port", self.port.value()), ("user", self.user.text())):
            last.setValue(name, value)

    def _submit(self) -> None:
        server, user, password = self.server.text().strip(), self.user.text().strip(), self.password.text()
        if not (server and user and password):
            self.say("Give server, user and password.")
            return
        self.password.clear()
        self.say(f"Logging in to {server} ...", problem=False)
        self.submitted.emit(server, self.port.value(), user, password)


def _settings() -> QSettings:
    return QSettings("OpenHCS", "browser")
