"""The window beside ImageJ's own: what comes, and a few switches."""

from __future__ import annotations

import queue
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from openhcs_fiji.awt import on_screen

COLUMNS = ("Window", "Planes", "State")
NAME = "Live images"
PANEL = (570, 260)
"""Width and height that the window takes in the lower right corner of the screen."""


class Row(NamedTuple):
    """A row of the list."""

    title: str
    planes: str
    state: str


class Panel:
    """The window. Methods are called in the main thread; what the user wishes goes into the queue.

    Parameters
    ----------
    jpype : module
    wishes : queue
        Takes (wish, what): "open" with numbers of rows, "follow" and "pause" with a truth value, "clear", "replay".
    title : str
    """

    def __init__(self, jpype: Any, wishes: queue.SimpleQueue[tuple[str, Any]], title: str = "") -> None:
        self._jpype, self._wishes = jpype, wishes
        self._shown: tuple[Any, ...] = ()
        self._rows: list[Row] = []
        on_screen(jpype, lambda: self._build(f"{NAME} - {title}" if title else NAME))

    def update(self, address: str, status: str, rows: Sequence[Row], follow: bool) -> None:
        """Show what there is."""
        wanted = (address, status, tuple(rows), follow)
        if wanted != self._shown:
            self._shown = wanted
            on_screen(self._jpype, lambda: self._show(*wanted))

    def _listener(self, work: Callable[[], None]) -> Any:
        return self._jpype.JProxy("java.awt.event.ActionListener", dict={"actionPerformed": lambda event: work()})

    def _wish(self, wish: str, what: Any = None) -> None:
        self._wishes.put((wish, what))

    def _build(self, title: str) -> None:
        swing, awt = self._jpype.JPackage("javax").swing, self._jpype.JPackage("java").awt
        self._frame = swing.JFrame(title)
        self._frame.setAutoRequestFocus(False)
        self._frame.setDefaultCloseOperation(swing.WindowConstants.HIDE_ON_CLOSE)
        self._address, self._status = swing.JLabel(" "), swing.JLabel(" ")
        self._model = swing.table.DefaultTableModel(self._jpype.JArray(self._jpype.JObject)(list(COLUMNS)), 0)
        self._table = swing.JTable(self._model)
        self._table.setDefaultEditor(self._jpype.JClass("java.lang.Object"), None)
        self._table.setFillsViewportHeight(True)
        for column, width in enumerate((300, 70, 80)):
            self._table.getColumnModel().getColumn(column).setPreferredWidth(width)
        self._follow, pause = swing.JCheckBox("Follow newest", True), swing.JCheckBox("Pause drawing")
        self._follow.addActionListener(self._listener(lambda: self._wish("follow", bool(self._follow.isSelected()))))
        pause.addActionListener(self._listener(lambda: self._wish("pause", bool(pause.isSelected()))))
        switches = swing.JPanel(awt.FlowLayout(awt.FlowLayout.LEFT, 6, 2))
        for name, tip, work in (
            ("Open", "Open the chosen windows, or bring them to the front", self._open),
            ("Clear", "Close all windows and drop their images", lambda: self._wish("clear")),
            ("Replay", "Clear, then ask for everything again", lambda: self._wish("replay")),
        ):
            button = swing.JButton(name)
            button.setToolTipText(tip)
            button.addActionListener(self._listener(work))
            switches.add(button)
        switches.add(self._follow)
        switches.add(pause)
        labels = swing.JPanel(awt.GridLayout(2, 1, 0, 2))
        labels.add(self._address)
        labels.add(self._status)
        content = swing.JPanel(awt.BorderLayout(6, 6))
        content.setBorder(swing.BorderFactory.createEmptyBorder(8, 8, 8, 8))
        content.add(labels, awt.BorderLayout.NORTH)
        content.add(swing.JScrollPane(self._table), awt.BorderLayout.CENTER)
        content.add(switches, awt.BorderLayout.SOUTH)
        self._frame.setContentPane(content)
        screen, (width, height) = self._frame.getToolkit().getScreenSize(), PANEL
        self._frame.setBounds(screen.width - width, screen.height - height, width - 10, height - 20)
        self._frame.setVisible(True)
        self._add_menu(awt)

    def _add_menu(self, awt: Any) -> None:
        """A way back to this window once it is closed."""
        bar = self._jpype.JClass("ij.Menus").getMenuBar()
        if bar is not None:
            menu, item = awt.Menu("OpenHCS"), awt.MenuItem(NAME)
            item.addActionListener(self._listener(lambda: self._frame.setVisible(True)))
            menu.add(item)
            bar.add(menu)

    def _open(self) -> None:
        self._wish("open", [int(row) for row in self._table.getSelectedRows()])

    def _show(self, address: str, status: str, rows: Sequence[Row], follow: bool) -> None:
        self._address.setText(address)
        self._status.setText(status)
        self._follow.setSelected(follow)
        if len(rows) < len(self._rows):
            self._model.setRowCount(0)
            self._rows = []
        for index, row in enumerate(rows):
            if index == len(self._rows):
                self._model.addRow(self._jpype.JArray(self._jpype.JObject)(list(row)))
                self._rows.append(row)
                continue
            for column, (old, new) in enumerate(zip(self._rows[index], row, strict=True)):
                if old != new:
                    self._model.setValueAt(new, index, column)
            self._rows[index] = row
